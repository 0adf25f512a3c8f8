"""A topology file becomes a plan."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dtopipe.boards import registry as boards
from dtopipe.boards.registry import known_board_type
from dtopipe.model.board_types import BoardType
from dtopipe.model.errors import Place, Problem, TopologyError
from dtopipe.model.parts import BoardPart, SinkPart
from dtopipe.model.plan import BoardPlan, ChannelPlan, ListenPlan, RingPlan, RunPlan, SinkPlan, TaskPlan
from dtopipe.model.references import Reference, referred
from dtopipe.model.suggestions import nearest
from dtopipe.sinks import registry as sink_types
from dtopipe.topology.calibrations import (
    CHANNEL_KEYS,
    calibration_of,
    calibration_warnings,
    channel_document,
    channel_problems,
    input_unit,
    meaning_plan,
    raw_sink_problems,
    readable_parts,
    retention_warnings,
    virtual_plan,
    with_codes,
)
from dtopipe.topology.capability import check_capability, check_number, columns_of
from dtopipe.topology.checks import (
    check_channels,
    check_databases,
    check_extras,
    check_metadata,
    check_names,
    check_numbers,
    check_readings,
    check_room,
    check_sizes,
    row_warnings,
)
from dtopipe.topology.commands import command_plans, command_problems
from dtopipe.topology.cost import estimate
from dtopipe.topology.journal import journal_of, journal_problems
from dtopipe.topology.limits import known_units, limit_plans, limit_problems
from dtopipe.topology.options import board_model, own_options, sink_model
from dtopipe.topology.output_checks import check_outputs
from dtopipe.topology.overrides import put, set_metadata, set_values
from dtopipe.topology.problems import by_place, is_part_of, place_of, problems_of
from dtopipe.topology.relocation import relocated
from dtopipe.topology.retention import check_retention, synced_where_waited_for
from dtopipe.topology.schema import KINDS, ChannelPart, TaskPart, TopologyPart
from dtopipe.topology.sink_plans import restart_plan, sink_plan, user_path
from dtopipe.topology.source_locations import TWICE, Placed, read_yaml
from dtopipe.topology.variables import absent_problems, resolved
from dtopipe.topology.views import split_problems, view_problems, view_warnings, window_problems

_BLOCK_S = 0.25

_M = TypeVar("_M", bound=BaseModel)


def load_plan(
    file: Path,
    *,
    sets: Sequence[str] = (),
    meta: Sequence[str] = (),
    run_dir: Path | None = None,
    name: str | None = None,
    duration: str | None = None,
    simulate: bool = False,
    rehearsal: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> RunPlan:
    """Read, check and complete a topology.

    `sets`: `a.b=value` as on the command line; `meta`: `key=value`. Paths given here are relative to the current
    folder. `rehearsal`: nothing will be started, so that metadata of the single run may be missing.
    Raises TopologyError with every problem at once.
    """
    loading = _Loading(file, read_yaml(file), environ)
    loading.override(sets, meta, name=name, duration=duration, simulate=simulate)
    return loading.plan(run_dir, rehearsal=rehearsal)


def load_placed(
    file: Path, placed: Placed, *, run_dir: Path, environ: Mapping[str, str], there: Sequence[SinkPlan] | None = None
) -> RunPlan:
    """The same of a document that stands in no file of its own; nothing is started of it. Raises TopologyError.

    `there`: sinks that a run in progress has already, which those of the document join; they are not in the plan.
    """
    return _Loading(file, placed, environ).plan(run_dir, rehearsal=True, there=there)


class _Loading:
    """One file on its way; problems are gathered, and raised together."""

    def __init__(self, file: Path, placed: Placed, environ: Mapping[str, str]) -> None:
        self._file = file
        self._folder = file.parent.absolute()
        self._placed = placed
        self._document = placed.document
        self._places = placed.places
        self._environ = environ
        self._problems: list[Problem] = list(placed.problems)
        # Keys whose values need a variable that is not set: what else is wrong with them follows from that.
        self._unresolved: set[str] = set()
        self._other_board = False
        self._warnings: list[Problem] = []
        self._readable: dict[str, ChannelPart] = {}

    def override(
        self, sets: Sequence[str], meta: Sequence[str], *, name: str | None, duration: str | None, simulate: bool
    ) -> None:
        """What the command line says, as if it stood in the file."""
        self._problems += set_values(self._placed, sets)
        self._problems += set_metadata(self._placed, meta)
        if name is not None:
            put(self._placed, "name", name, "--name")
        if duration is not None:
            put(self._placed, "duration", duration, "--duration")
        if simulate:
            self._simulate()

    def plan(self, run_dir: Path | None, *, rehearsal: bool, there: Sequence[SinkPlan] | None = None) -> RunPlan:
        """The plan. Raises TopologyError."""
        values = self._resolved(self._document)
        top = self._checked(TopologyPart, values, "")
        board = self._board(values.get("board"))
        task = self._task(values.get("task"), board)
        name = top.name or self._file.stem if top else self._file.stem
        follows = board is not None and known_board_type(board.type).follows
        others = list(there or ())
        sinks = self._sinks(values.get("sinks"), name, others, follows=follows, polled=task is not None and task.polled)
        self._found(window_problems(sinks, task))
        if run_dir is not None:
            self._places["run_dir"] = Place("--run-dir", 0, 0)
        root = (run_dir or user_path(top.run_dir if top else "runs")).absolute()
        self._found(check_names(name, [*others, *sinks]))
        self._found(check_outputs([*others, *sinks], root))
        self._found(check_extras(sinks))
        self._found(check_databases(sinks, name))
        if task and task.polled:
            self._found(check_readings(sinks))
        self._found(check_numbers(values.get("metadata"), "metadata"))
        if top and not rehearsal:
            self._found(check_metadata(top.metadata))
        named = self._named_channels(values.get("task"), task, board)
        meanings = task.columns if task else [meaning_plan(part) for part in self._readable.values()]
        if isinstance(values.get("sinks"), dict) and len(sinks) == len(values["sinks"]):
            # A sink that cannot be read at all might be the one that is asked for here.
            self._found_of_resolved(check_retention([*others, *sinks], with_codes(named.values(), meanings)))
        if named:
            polled = task is not None and task.polled
            self._found(check_channels(named, sinks, board.options if board else {}, meanings, polled=polled))
            self._found(raw_sink_problems(sinks, meanings))
            self._warn(retention_warnings([*others, *sinks], meanings))
            columns = columns_of(named, task)
            self._found(check_number(columns))
            self._found(check_capability(columns, sinks, polled=polled))
            units = known_units(self._readable.values(), task)
            self._found(limit_problems(top.limits if top else {}, list(named.values()), units, sinks))
        self._found(command_problems(top.on if top else None, self._folder, self._environ))
        plan = None
        at = top.listen if top else None
        listen = ListenPlan(at.endpoint, at.insecure, at.keep_for) if at else None
        if top and board and (task or follows):
            own = None if task is None or known_board_type(board.type).brings_task else replace(task, name=name)
            plan = replace(self._assembled(top, name, root, replace(board, task=own), sinks), listen=listen)
            self._warn(view_warnings([*others, *sinks], plan.ring) if there is None else ())
            # What another machine's run takes is known once it is there.
            if there is not None:
                self._found(check_room(plan))
            elif not follows:
                cost = estimate(plan)
                self._found(check_sizes(plan, cost))
                self._warn(row_warnings(plan, cost))
        if plan is None or self._problems:
            raise TopologyError(sorted(self._problems, key=by_place))
        return replace(plan, warnings=tuple(sorted(self._warnings, key=by_place)))

    def _assembled(
        self, top: TopologyPart, name: str, root: Path, board: BoardPlan, sinks: Sequence[SinkPlan]
    ) -> RunPlan:
        kind = known_board_type(board.type)
        return RunPlan(
            name=name,
            run_root=root,
            source_file=self._file,
            board=board,
            ring=RingPlan(top.ring.seconds, top.ring.slots, top.ring.bytes),
            sinks=tuple(sinks),
            duration_s=top.duration,
            drain_limit_s=top.drain_limit,
            overtime_limit_s=top.overtime_limit,
            metadata=top.metadata,
            simulated=kind.is_simulated(board.options),
            limits=limit_plans(top.limits),
            on=command_plans(top.on, self._folder, self._environ),
            document=relocated(self._document, name, kind.path_key, self._folder, self._environ),
            places=self._places,
        )

    def _board(self, given: Any) -> BoardPlan | None:
        if not isinstance(given, dict):
            return None
        model = self._model("board", given.get("type"), boards.installed(), board_model)
        part = None if model is None else self._checked(model, given, "board")
        if part is None:
            return None
        kind, options = known_board_type(part.type), own_options(part, BoardPart)
        if options.get(kind.path_key) is not None:
            options[kind.path_key] = str((self._file.parent / user_path(options[kind.path_key])).absolute())
        board = BoardPlan(part.type, options, None, part.hung_limit, restart_plan(part.restart))
        if kind.problems is not None:
            self._found(referred(kind.problems)(board))
        return board

    def _task(self, given: Any, board: BoardPlan | None) -> TaskPlan | None:
        kind = None if board is None else known_board_type(board.type)
        if board is not None and kind is not None and kind.brings_task:
            if given is not None:
                self._problem("task", f"a {board.type} board brings its own task", "take this part out")
            return None if kind.follows else self._recorded_task(kind, Path(str(board.options[kind.path_key])))
        if given is None:
            if board is not None:
                self._problem("task", "is missing", "say rate_hz and channels: dtopipe init shows an example")
            return None
        part = self._checked(TaskPart, given, "task")
        self._readable = readable_parts(given)
        self._found(channel_problems(self._readable))
        if part is None:
            return None
        self._warn(calibration_warnings(self._readable, date.today()))
        inputs = [(n, channel) for n, channel in enumerate(part.channels) if channel.formula is None]
        channels = [self._channel(channel, n, place, board) for place, (n, channel) in enumerate(inputs)]
        polled = part.mode == "polled"
        block = 1 if polled else part.samples_per_block or max(1, round(part.rate_hz * _BLOCK_S))
        virtual = tuple(virtual_plan(channel) for channel in part.channels if channel.formula is not None)
        return TaskPlan("", part.rate_hz, block, tuple(channels), part.driver_buffers, polled, virtual)

    def _recorded_task(self, kind: BoardType, path: Path) -> TaskPlan | None:
        if kind.recording is None:
            return None
        try:
            task: TaskPlan = referred(kind.recording.task)(path)
        except TopologyError as error:
            self._problem(f"board.{kind.path_key}", error.problems[0].message, error.problems[0].remedy)
            return None
        return task

    def _channel(self, part: ChannelPart, number: int, place: int, board: BoardPlan | None) -> ChannelPlan:
        """`number`: in the topology, `place`: among those that have an input."""
        options = dict(part.model_extra or {})
        key = f"task.channels[{number}]"
        meant = difflib.get_close_matches(part.kind, KINDS, 1, 0.75)
        if meant and meant[0] != part.kind:
            self._problem(f"{key}.kind", f"there is no kind {part.kind!r}", f"did you mean {meant[0]}?")
        own = None if board is None else known_board_type(board.type).channel_options
        if own is not None and part.kind in KINDS and not self._other_board:
            model = referred(own)
            known = [*CHANNEL_KEYS, *model.model_fields]
            for name in options:
                if name not in known:
                    self._problem(f"{key}.{name}", "unknown key", nearest(name, known))
            self._checked(model, {k: v for k, v in options.items() if k in known}, key)
        return ChannelPlan(
            name=part.name,
            kind=part.kind,
            physical_channel=place if part.physical_channel is None else part.physical_channel,
            range=part.range or (None if part.kind == "raw" else (-10.0, 10.0)),
            # None: the board's own. A calibration has to know what its input is in.
            unit=part.unit if part.calibration is None else input_unit(part),
            options=options,
            calibration=calibration_of(part),
        )

    def _sinks(
        self, given: Any, run_name: str, others: Sequence[SinkPlan], *, follows: bool, polled: bool
    ) -> list[SinkPlan]:
        parts: dict[str, SinkPart] = {}
        for name, sink in (given if isinstance(given, dict) else {}).items():
            if isinstance(sink, dict):
                model = self._model(f"sinks.{name}", sink.get("type"), sink_types.installed(), sink_model)
                part = None if model is None else self._checked(model, sink, f"sinks.{name}")
                if part is not None:
                    parts[name] = part
        self._found(journal_problems(parts))
        self._found(view_problems(parts, polled=polled))
        self._found(split_problems(parts))
        journal = journal_of(parts)
        plans = [sink_plan(name, part, run_name, is_journal=name == journal) for name, part in parts.items()]
        unwritten = [name for name, part in parts.items() if "sync" not in part.model_fields_set]
        return synced_where_waited_for([*others, *plans], unwritten, follows=follows)[len(others) :]

    def _model(
        self, key: str, kind: Any, installed: Mapping[str, Reference], model_of: Callable[[str, Reference], type[_M]]
    ) -> type[_M] | None:
        """The options of this type of board or sink, or a problem."""
        what = "board" if key == "board" else "sink"
        if kind is None:
            self._problem(f"{key}.type", "is missing", f"there are: {', '.join(installed)}")
        elif str(kind) not in installed:
            self._problem(f"{key}.type", f"there is no {what} of type {kind!r}", nearest(str(kind), installed))
        else:
            try:
                return model_of(str(kind), installed[str(kind)])
            except Exception as error:  # somebody else's code may raise anything
                why = str(error) or type(error).__name__
                self._problem(f"{key}.type", f"this plug-in cannot be loaded: {why}", "install it anew")
        return None

    def _named_channels(self, given: Any, task: TaskPlan | None, board: BoardPlan | None) -> dict[str, str]:
        """Key: name of every channel, also of a task that has other mistakes."""
        kind = None if board is None else known_board_type(board.type)
        if task is not None and kind is not None and kind.brings_task:
            channels = (*task.channels, *task.virtual)
            return {f"board.{kind.path_key}[{n}]": channel.name for n, channel in enumerate(channels)}
        listed = given.get("channels") if isinstance(given, dict) else None
        return {
            f"task.channels[{n}].name": channel["name"]
            for n, channel in enumerate(listed if isinstance(listed, list) else ())
            if isinstance(channel, dict) and isinstance(channel.get("name"), str)
        }

    def _simulate(self) -> None:
        """Put the simulated board under the task; a recording's task is taken from its header."""
        board = self._document.get("board")
        name = board.get("type") if isinstance(board, dict) else None
        if name == boards.SIMULATED:
            return
        self._other_board = True
        kind = known_board_type(name)
        path = self._resolved(board.get("path"), "board.path") if isinstance(board, dict) else None
        if self._unresolved:
            raise TopologyError(sorted(self._problems, key=by_place))
        if kind.recording is not None and isinstance(path, str):
            task = self._recorded_task(kind, self._file.parent / user_path(path))
            if task:
                self._document["task"] = {
                    "rate_hz": task.rate_hz,
                    "samples_per_block": task.samples_per_block,
                    "channels": list(map(channel_document, (*task.channels, *task.virtual))),
                }
        self._document["board"] = {"type": boards.SIMULATED}

    def _checked(self, model: type[_M], given: Any, key: str) -> _M | None:
        """The part, without those of its keys that are wrong: the rest is worth checking further."""
        try:
            return model.model_validate(given)
        except ValidationError as error:
            for problem in problems_of(error, model, key, self._places):
                if is_part_of(self._unresolved, problem.key):
                    continue
                self._problem(problem.key, problem.message, problem.remedy)
            wrong = {mistake["loc"][0] for mistake in error.errors() if mistake["loc"]}
        try:
            rest = {k: v for k, v in given.items() if k not in wrong} if isinstance(given, dict) else None
            return model.model_validate(rest)
        except ValidationError:
            return None

    def _resolved(self, value: Any, key: str = "") -> Any:
        absent: dict[str, list[str]] = {}
        found = resolved(value, self._environ, absent, key)
        self._problems += absent_problems(absent, self._places)
        self._unresolved |= {each for keys in absent.values() for each in keys}
        return found

    def _found_of_resolved(self, problems: Iterable[tuple[str, str, str]]) -> None:
        """The same, but for sinks of which a value is not known."""
        unknown = {key.split(".")[1] for key in self._unresolved if key.startswith("sinks.")}
        self._found(problem for problem in problems if problem[0].split(".")[1] not in unknown)

    def _found(self, problems: Iterable[tuple[str, str, str]]) -> None:
        for key, message, remedy in problems:
            self._problem(key, message, remedy)

    def _warn(self, found: Iterable[tuple[str, str, str]]) -> None:
        self._warnings += [Problem(place_of(key, self._places), key, what, remedy) for key, what, remedy in found]

    def _problem(self, key: str, message: str, remedy: str = "") -> None:
        """One problem a key: what else is wrong with it follows from the first."""
        is_known = any(problem.key == key and problem.message != TWICE for problem in self._problems)
        if key not in self._unresolved and not (key and is_known):
            self._problems.append(Problem(place_of(key, self._places), key, message, remedy))
