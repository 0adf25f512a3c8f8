"""The outputs of a run, as its record names them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.columns import Columns, tabular
from dtopipe.model.condition import condition_of
from dtopipe.model.derived import DerivationError
from dtopipe.model.errors import DtopipeError, SinkError, WireError
from dtopipe.model.marks import Mark
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.policy import Layout, Policy
from dtopipe.model.position import Position
from dtopipe.model.quantities import seconds
from dtopipe.model.readings import Readings
from dtopipe.model.reduction import Reduction, recorded_reduction, reduced_stream
from dtopipe.model.sink_types import SinkType
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.model.view import View, samples_a_row
from dtopipe.sinks.contract import OutputReader
from dtopipe.sinks.parts.reader import parted_reader
from dtopipe.sinks.registry import known_sink_type, load_reader
from dtopipe.topology.recorded import recorded_options, resolved_part
from dtopipe.verify.outside import OutputOutside, why_not_opened
from dtopipe.wire.describe import stream_from

# Keys of a sink that say how its rows are made.
_SHAPE = ("layout", "channels", "every", "reduce", "when", "pre", "post")


@dataclass(frozen=True, slots=True)
class Output:
    """One sink's output: where it is, which channels are in it, and what the run record says of it.

    `place`: the path, or where in a database, for people. `topology`: as recorded, where a database's own options are.
    `not_opened`: why it may not be opened, or empty; it has no `path` then. `taken`: the channels of the run that it
    was made of, as an output without `every` would have them. `part_samples`: of one that is split, whose path has a
    place for the parts' numbers, how many samples each has; `part`: the number of one that is a part of such an output.
    `trigger`: of one that has only what is around events.
    """

    name: str
    type: str
    place: str
    path: Path | None
    topology: Mapping[str, Any]
    policy: Policy
    run_id: str
    stream: Stream
    record: Mapping[str, Any]
    taken: Stream
    not_opened: str = ""
    part_samples: int = 0
    part: int = 0
    is_last_part: bool = False
    trigger: TriggerPlan | None = None

    @property
    def kind(self) -> SinkType:
        """What is known of its type."""
        return known_sink_type(self.type)

    @property
    def is_raw(self) -> bool:
        """True for `.dt-raw` files."""
        return self.kind.is_raw

    @property
    def as_codes(self) -> bool:
        """True where it has codes, and no channels that are worked out."""
        return self.kind.as_codes

    @property
    def is_wide(self) -> bool:
        """True if a row has every channel; readings always have."""
        sink = self.topology.get("sinks", {}).get(self.name, {})
        return self.stream.polled or sink.get("layout", Layout.WIDE) == Layout.WIDE

    @property
    def has_all_samples(self) -> bool:
        """False for a view: what it was made of cannot be had back from it."""
        return self.stream.every == 1

    def view_of(self, stream: Stream) -> View:
        """What makes this output's rows of blocks of that stream, which has at least the channels taken."""
        return View(self.columns_of(stream), self.stream.every, self.stream.reduce)

    def columns_of(self, stream: Stream) -> Columns:
        """What makes the channels taken of blocks of that stream, which has at least these."""
        return Columns(stream, [channel.name for channel in self.taken.channels], as_codes=self.as_codes)

    def reduced(self, items: Iterable[Block | Readings | Gap]) -> Iterator[Block | Readings | Gap]:
        """What this output has of items of the channels taken, in order."""
        if self.has_all_samples:
            yield from items
            return
        reduction = Reduction(self.taken, self.stream.every, self.stream.reduce)
        for item in items:
            if not isinstance(item, Readings):
                yield from reduction.of([item])
        yield from reduction.rest()

    @property
    def row_stream(self) -> Stream:
        """The stream with all channels whose values are known of it: of a raw file also what is worked out of codes."""
        return tabular(self.stream).stream if self.as_codes else self.stream

    def holds_nonfinite(self) -> bool:
        """True if NaN and infinities come back: not of every type, nor of one that a spreadsheet is to open."""
        if not self.kind.holds_nonfinite:
            return False
        try:
            return bool(getattr(self.reader(), "holds_nonfinite", True))
        except Exception:  # what is wrong with it is said by who reads it; a plug-in's reader may raise anything
            return True

    def retained_from(self) -> int:
        """The first sample that a journal which retires segments still has; the record may be some seconds old."""
        if "retained_from" not in self.record:
            return 0
        with contextlib.suppress(DtopipeError, OSError, ValueError):
            return self.reader().position().retained_from
        return int(self.record["retained_from"])

    def reader(self) -> OutputReader:
        """Opens it. Raises SinkError if it is not there or cannot be read, OutputOutside if it may not be opened."""
        if self.not_opened:
            raise OutputOutside(None, self.not_opened)
        return _reader(
            self.type, self.path, self.run_id, self.topology, self.name, self.stream, in_parts=self.part_samples > 0
        )

    def own_marks(self, marks: Sequence[Mark]) -> Sequence[Mark]:
        """Those that belong into it: of a part those of its samples, of the last one also what came behind the end."""
        if not self.part:
            return marks
        start, stop = int(self.record["start"]), int(self.record["stop"])
        return [
            mark for mark in marks if start <= mark.sample_index and (mark.sample_index < stop or self.is_last_part)
        ]


def outputs_of(folder: RunFolder, record: Mapping[str, Any]) -> list[Output]:
    """Every output of a run that can be read back, in the topology's order. `record` is one that `read_record` gave.

    Raises WireError where it names what it does not have.
    """
    if not record.get("stream"):
        return []
    stream = stream_from(record["stream"])
    topology = _with_variables(record["topology"])
    found = []
    for name, sink in record["sinks"].items():
        if not _is_readable(sink) or not keeps_samples(sink):
            continue
        not_opened = why_not_opened(folder, record, name)
        path = None if sink["path"] is None or not_opened else folder.path / sink["path"]
        place = sink["target"] if sink["path"] is None else str(folder.path / sink["path"])
        taken, own = _selected(stream, topology, name, sink["type"])
        found.append(
            Output(
                name=name,
                type=sink["type"],
                place=place,
                path=path,
                topology=topology,
                policy=Policy(sink["policy"]),
                run_id=record["run_id"],
                stream=own,
                record=sink,
                taken=taken,
                part_samples=int(sink.get("part_samples", 0)),
                not_opened=not_opened,
                trigger=_trigger_of(stream, topology, name),
            )
        )
    return found


def _with_variables(topology: Mapping[str, Any]) -> dict[str, Any]:
    """The topology whose sinks have the layout and the channels that the variables of this command give."""
    sinks = {}
    for name, sink in (topology.get("sinks") or {}).items():
        own = resolved_part({key: sink[key] for key in _SHAPE if sink.get(key) is not None})
        if own.get("layout", Layout.WIDE) not in list(Layout):
            raise WireError(f"topology.sinks.{name}.layout: no such layout", "set its variable as it was in the run")
        sinks[name] = {**sink, **own}
    return {**topology, "sinks": sinks}


def _selected(stream: Stream, topology: Mapping[str, Any], name: str, sink_type: str) -> tuple[Stream, Stream]:
    """What of the stream is taken for this sink's output, and the stream of that."""
    sink = topology["sinks"].get(name, {})
    try:
        taken = Columns(stream, sink.get("channels"), as_codes=known_sink_type(sink_type).as_codes).stream
        every = samples_a_row(None if sink.get("every") is None else seconds(sink["every"]), stream.rate_hz)
        return taken, reduced_stream(taken, every, recorded_reduction(sink.get("reduce")))
    except ValueError as error:
        if isinstance(error, DerivationError):
            raise WireError(f"topology.sinks.{name}: {error}") from error
        raise WireError(f"topology.sinks.{name}.every: {error}") from error
    except KeyError as error:
        raise WireError(f"topology.sinks.{name}.channels: the run has no channel {error}") from error


def _trigger_of(stream: Stream, topology: Mapping[str, Any], name: str) -> TriggerPlan | None:
    sink = topology["sinks"].get(name, {})
    if sink.get("when") is None:
        return None
    try:
        plan = TriggerPlan(str(sink["when"]), *(seconds(sink.get(word) or 0) for word in ("pre", "post")))
        condition = condition_of(plan.when)
    except ValueError as error:
        raise WireError(f"topology.sinks.{name}.when: {error}") from error
    known = [channel.name for channel in (*stream.channels, *stream.virtual)]
    for each in condition.names:
        if each not in known:
            raise WireError(f"topology.sinks.{name}.when: the run has no channel {each!r}")
    return plan


def raw_output(outputs: Sequence[Output]) -> Output | None:
    """The raw file of a run: of several one without a trigger that has most of its beginning, and stands first."""
    raw = [output for output in outputs if output.is_raw and output.path]
    return min(raw, key=lambda output: (output.trigger is not None, output.retained_from()), default=None)


def read_output(
    record: Mapping[str, Any], name: str, folder: Path, *, outside: bool = False
) -> tuple[Position, list[Gap]] | None:
    """What an output says of itself, for the record of a killed run; None if it says nothing, or may not be opened."""
    sink = record["sinks"][name]
    if not _is_readable(sink) or why_not_opened(RunFolder(folder, outside=outside), record, name):
        return None
    with contextlib.suppress(SinkError, WireError, DtopipeError, OSError):
        path = None if sink["path"] is None else folder / sink["path"]
        stream = stream_from(record["stream"]) if record.get("stream") else None
        topology = _with_variables(record["topology"])
        selected = None if stream is None else _selected(stream, topology, name, sink["type"])[1]
        in_parts = bool(sink.get("part_samples", 0))
        reader = _reader(sink["type"], path, record["run_id"], record["topology"], name, selected, in_parts=in_parts)
        is_view = selected is not None and selected.every > 1
        return reach_of(reader, int(sink["start"]), is_view=is_view), list(reader.gaps())
    return None


def reach_of(reader: OutputReader, start: int, *, is_view: bool) -> Position:
    """How far an output is that nobody writes any more: whole rows behind its last commit are in it as well.

    Of a view they do not say how many samples they stand for: it is as far as it has committed.
    `start`: where it was to begin. Without its commit record a file may have lost its own beginning.
    """
    reach = None if is_view else getattr(reader, "reach", None)
    found: Position = reader.position() if reach is None else reach()
    return found if found.start <= start else Position(start, start, start)


def keeps_samples(sink: Mapping[str, Any]) -> bool:
    """False for a sink, as a record has it, that handed its samples on: there is no output to be read back."""
    return known_sink_type(sink["type"]).keeps_samples


def _is_readable(sink: Mapping[str, Any]) -> bool:
    return sink["path"] is not None or sink.get("target") is not None


def _reader(
    sink_type: str,
    path: Path | None,
    run_id: str,
    topology: Mapping[str, Any],
    name: str,
    stream: Stream | None,
    *,
    in_parts: bool,
) -> OutputReader:
    """A reader of a file, or of a database that its topology and the environment describe. Raises SinkError.

    `stream`: what was recorded of it, for a file whose own description is damaged; plug-ins' readers are not told.
    """
    if path is None:
        return load_reader(sink_type)(None, run_id=run_id, **recorded_options(topology, name, os.environ))
    told = {"stream": stream} if known_sink_type(sink_type).reader_takes_stream else {}
    read = partial(load_reader(sink_type), run_id=run_id, **told)
    return parted_reader(read, path, run_id) if in_parts else read(path)
