"""A topology file becomes a plan."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dtopipe.model.errors import Place, Problem, TopologyError
from dtopipe.model.plan import BoardPlan, ChannelPlan, RestartPlan, RingPlan, RunPlan, SinkPlan, TaskPlan
from dtopipe.topology.checks import check_plan
from dtopipe.topology.options import (
    LATER_BOARDS,
    LATER_SINKS,
    SimulatedChannel,
    board_models,
    own_options,
    sink_models,
)
from dtopipe.topology.places import Placed, parse_yaml, read_yaml
from dtopipe.topology.problems import nearest, place_of, problems_of
from dtopipe.topology.recording import recorded_task
from dtopipe.topology.schema import BoardPart, ChannelPart, SinkPart, TaskPart, TopologyPart
from dtopipe.topology.variables import resolved

_BLOCK_S = 0.25
_KNOWN_KINDS = ("voltage", "current", "raw")
_UNITS = {"current": "A", "raw": ""}
# Boards that bring their own task.
_OWN_TASK = ("replay",)


def load_plan(
    file: Path,
    *,
    sets: Sequence[str] = (),
    meta: Sequence[str] = (),
    run_dir: Path | None = None,
    name: str | None = None,
    duration: str | None = None,
    simulate: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> RunPlan:
    """Read, check and complete a topology.

    `sets`: `a.b=value` as on the command line; `meta`: `key=value`. Paths given here are relative to the current
    folder. Raises TopologyError with every problem at once.
    """
    placed = read_yaml(file)
    loading = _Loading(file, placed, environ)
    loading.override(sets, meta, name=name, duration=duration, simulate=simulate)
    return loading.plan(run_dir)


class _Loading:
    """One file on its way; problems are gathered, and raised together."""

    def __init__(self, file: Path, placed: Placed, environ: Mapping[str, str]) -> None:
        self._file = file
        self._document = placed.document
        self._places = placed.places
        self._environ = environ
        self._problems: list[Problem] = []

    def override(
        self, sets: Sequence[str], meta: Sequence[str], *, name: str | None, duration: str | None, simulate: bool
    ) -> None:
        """What the command line says, as if it stood in the file."""
        for text in sets:
            key, equals, value = text.partition("=")
            if not equals:
                self._problem("", f"--set {text}: write --set a.b=value")
                continue
            parsed = parse_yaml(f"value: {value}", f"--set {text}").document["value"]
            self._set(key, parsed, f"--set {text}")
        for text in meta:
            key, equals, value = text.partition("=")
            if not equals:
                self._problem("", f"--meta {text}: write --meta key=value")
                continue
            self._set(f"metadata.{key}", value, f"--meta {text}")
        if name is not None:
            self._set("name", name, "--name")
        if duration is not None:
            self._set("duration", duration, "--duration")
        if simulate:
            self._simulate()

    def plan(self, run_dir: Path | None) -> RunPlan:
        """The plan. Raises TopologyError."""
        self._refuse_what_comes_later()
        values = resolved(self._document, self._environ, self._places, self._problems)
        top = self._checked(TopologyPart, {k: v for k, v in values.items() if k != "listen"}, "")
        board = self._board(values.get("board"))
        task = self._task(values.get("task"), board)
        names = [channel.name for channel in task.channels] if task else None
        sinks = self._sinks(values.get("sinks"))
        self._stop_on_problems()
        if top is None or board is None:
            raise TopologyError(self._problems)
        root = run_dir if run_dir is not None else Path(top.run_dir)
        plan = RunPlan(
            name=top.name or self._file.stem,
            run_root=root.absolute(),
            source_file=self._file,
            board=board,
            ring=RingPlan(top.ring.seconds, top.ring.slots, top.ring.bytes),
            sinks=tuple(sinks),
            duration_s=top.duration,
            drain_limit_s=top.drain_limit,
            metadata=top.metadata,
            simulated=board.type == "simulated",
            document=self._recorded(top.name or self._file.stem, board),
            places=self._places,
        )
        if task is not None:
            plan = replace(plan, board=replace(board, task=replace(task, name=plan.name)))
        self._problems += check_plan(plan, names, self._places)
        self._stop_on_problems()
        return plan

    def _board(self, given: Any) -> BoardPlan | None:
        if not isinstance(given, dict):
            return None
        kind = given.get("type")
        models = board_models()
        if kind not in models:
            if kind is None:
                self._problem("board.type", "is missing", f"there are: {', '.join(models)}")
            elif kind not in LATER_BOARDS:
                self._problem("board.type", f"there is no board of type {kind!r}", nearest(str(kind), models))
            return None
        part = self._checked(models[kind], given, "board")
        if part is None:
            return None
        options = own_options(part, BoardPart)
        if kind == "replay":
            options["path"] = str((self._file.parent / options["path"]).absolute())
        return BoardPlan(kind, options, None)

    def _task(self, given: Any, board: BoardPlan | None) -> TaskPlan | None:
        if board is not None and board.type in _OWN_TASK:
            if given is not None:
                self._problem("task", f"a {board.type} board brings its own task", "take this part out")
            return self._recorded_task(Path(str(board.options["path"])))
        if given is None:
            if board is not None:
                self._problem("task", "is missing", "say rate_hz and channels: dtopipe init shows an example")
            return None
        part = self._checked(TaskPart, given, "task")
        if part is None:
            return None
        channels = [self._channel(channel, n, board) for n, channel in enumerate(part.channels)]
        block = part.samples_per_block or max(1, round(part.rate_hz * _BLOCK_S))
        return TaskPlan("", part.rate_hz, block, tuple(channels), part.driver_buffers)

    def _recorded_task(self, path: Path) -> TaskPlan | None:
        try:
            return recorded_task(path)
        except TopologyError as error:
            self._problem("board.path", error.problems[0].message, error.problems[0].remedy)
            return None

    def _channel(self, part: ChannelPart, number: int, board: BoardPlan | None) -> ChannelPlan:
        options = dict(part.model_extra or {})
        key = f"task.channels[{number}]"
        meant = difflib.get_close_matches(part.kind, _KNOWN_KINDS, 1, 0.75)
        if meant and meant[0] != part.kind:
            self._problem(f"{key}.kind", f"there is no kind {part.kind!r}", f"did you mean {meant[0]}?")
        if board is not None and board.type == "simulated" and part.kind in _KNOWN_KINDS:
            known = [*ChannelPart.model_fields, *SimulatedChannel.model_fields]
            for name in options:
                if name not in known:
                    self._problem(f"{key}.{name}", "unknown key", nearest(name, known))
            self._checked(SimulatedChannel, {k: v for k, v in options.items() if k in known}, key)
        return ChannelPlan(
            name=part.name,
            kind=part.kind,
            physical_channel=number if part.physical_channel is None else part.physical_channel,
            range=part.range or (None if part.kind == "raw" else (-10.0, 10.0)),
            unit=_UNITS.get(part.kind, "V") if part.unit is None else part.unit,
            options=options,
        )

    def _sinks(self, given: Any) -> list[SinkPlan]:
        found = []
        models = sink_models()
        for name, sink in (given if isinstance(given, dict) else {}).items():
            key = f"sinks.{name}"
            if not isinstance(sink, dict):
                continue
            kind = sink.get("type")
            if kind not in models:
                if kind is None:
                    self._problem(f"{key}.type", "is missing", f"there are: {', '.join(models)}")
                elif kind not in LATER_SINKS:
                    self._problem(f"{key}.type", f"there is no sink of type {kind!r}", nearest(str(kind), models))
                continue
            part = self._checked(models[kind], sink, key)
            if part is not None:
                found.append(_sink_plan(name, part))
        return found

    def _refuse_what_comes_later(self) -> None:
        """Words of the contract that this version does not know yet are said to be that, not called mistakes."""
        document = self._document
        later = []
        board, sinks, task = document.get("board"), document.get("sinks"), document.get("task")
        if "listen" in document:
            later.append(("listen", "serving other machines"))
        if isinstance(board, dict) and board.get("type") in LATER_BOARDS:
            later.append(("board.type", f"board type {board['type']}"))
        if isinstance(task, dict) and task.get("mode") == "polled":
            later.append(("task.mode", "polled mode"))
        for name, sink in sinks.items() if isinstance(sinks, dict) else ():
            if isinstance(sink, dict) and sink.get("type") in LATER_SINKS:
                later.append((f"sinks.{name}.type", f"sink type {sink['type']}"))
            if isinstance(sink, dict):
                later += [(f"sinks.{name}.{k}", f"an hbuf sink's {k}") for k in ("segment", "retention") if k in sink]
                if sink.get("journal"):
                    later.append((f"sinks.{name}.journal", "the journal"))
        for key, what in later:
            self._problem(key, f"{what} is not built yet in this version", "take it out")

    def _simulate(self) -> None:
        """Put the simulated board under the task; a recording's task is taken from its header."""
        board = self._document.get("board")
        kind = board.get("type") if isinstance(board, dict) else None
        if kind == "simulated":
            return
        if kind in _OWN_TASK and isinstance(board, dict) and isinstance(board.get("path"), str):
            task = self._recorded_task(self._file.parent / board["path"])
            if task:
                self._document["task"] = {
                    "rate_hz": task.rate_hz,
                    "samples_per_block": task.samples_per_block,
                    "channels": [{"name": channel.name, "unit": channel.unit} for channel in task.channels],
                }
        self._document["board"] = {"type": "simulated"}

    def _recorded(self, name: str, board: BoardPlan) -> dict[str, Any]:
        """The topology as it runs, for the records: it runs again from any folder; variables stay unresolved."""
        document = {"name": name, **{key: value for key, value in self._document.items() if key != "name"}}
        path = document["board"].get("path")
        if board.type == "replay" and isinstance(path, str) and "${" not in path:
            document["board"] = {**document["board"], "path": board.options["path"]}
        return document

    def _checked(self, model: type[BaseModel], given: Any, key: str) -> Any:
        try:
            return model.model_validate(given)
        except ValidationError as error:
            self._problems += problems_of(error, model, key, self._places)
            return None

    def _set(self, key: str, value: Any, source: str) -> None:
        """Put a value at a key path, making the mappings on the way."""
        at: Any = self._document
        *way, last = key.split(".")
        for part in way:
            if not isinstance(at, dict):
                self._problem(key, f"{source}: {part} is not a mapping")
                return
            at = at.setdefault(part, {})
            at = {} if at is None else at
        if isinstance(at, dict):
            at[last] = value
            self._places[key] = Place(source, 1, 1)

    def _problem(self, key: str, message: str, remedy: str = "") -> None:
        self._problems.append(Problem(place_of(key, self._places), key, message, remedy))

    def _stop_on_problems(self) -> None:
        if self._problems:
            order = sorted(set(self._problems), key=lambda p: (p.place.line, p.place.column) if p.place else (0, 0))
            raise TopologyError(order)


def _sink_plan(name: str, part: SinkPart) -> SinkPlan:
    restart = RestartPlan(part.restart.max, part.restart.within, part.restart.backoff)
    options = own_options(part, SinkPart)
    options.pop("journal", None)
    return SinkPlan(
        name=name,
        type=part.type,
        path=part.path,
        policy=part.policy_word,
        layout=part.layout,
        channels=None if part.channels is None else tuple(part.channels),
        flush_interval_s=part.flush_interval,
        essential=part.essential,
        on_exists=part.on_exists,
        restart=restart,
        stall_limit_s=part.stall_limit,
        on_stall=part.on_stall,
        sync_s=part.sync,
        queue_blocks=part.queue_blocks,
        delay_per_block_s=part.delay_per_block,
        options=options,
    )
