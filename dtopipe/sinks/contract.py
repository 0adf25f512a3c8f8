"""What a sink promises, and what it is promised: all that the author of one needs to know.

`dtopipe plugin new sink NAME` writes a package with one that works; `dtopipe.testing.SinkConformance` tries what stands
here, on any class.

**Registration.** An entry point of the group `dtopipe.sinks` names a `SinkType` (`dtopipe.model.sink_types`): where the
writer's class, the reader's and the model of the options are, what the format does not hold, how large it is. One that
names the writer's class alone will do, with the defaults of `SinkType`; the reader is then its attribute `Reader`, the
options its attribute `Options`.

**Options** are keyword arguments of the writer's class, besides `output`, which comes first. Their model is a pydantic
model, best a subclass of `dtopipe.model.parts.SinkPart`; each field's `description` is its help in `dtopipe sinks NAME`
and in the schema. Keys that it has not are refused, with the nearest word. What arrives are plain values, defaults
filled in. Without a model the keyword arguments are the keys, and have neither types nor help.

**The writer.** The framework promises: one thread calls a writer; `open` comes first and once; what is appended is in
index order, without overlap, every hole announced as a `Gap` before the block that follows it; arrays stay valid and
unchanged until the next `commit` returns. A successor is made in another process, while its predecessor may just have
been killed. A sink that waits for its trigger is given gaps of cause `not_triggered` that follow on each other, one a
commit: a writer that keeps gaps by itself best makes one of them (`dtopipe.model.span.add`).
The author promises: after `commit` returns, everything appended survives the death of every process; a writer that
is opened again with `resume` goes on exactly behind its last commit, whatever was half written being cut away;
`open` holds an OS lock on the output until `close` or `abandon`, so that two writers never meet on it.
An output that grows by bytes at its end has all of that from `dtopipe.sinks.file.writer.FileWriter`: its subclass says
what the bytes are (`header`, `encoded`). For any other file, `dtopipe.sinks.file` has the parts: `CommitRecord` (lock,
position and gaps), `prepare` (`on_exists`), `sink_errors` (what the system says, as SinkError), `sync_folder`.

**What is there already.** A new output is begun as `output.on_exists` says: `error` raises OutputExists and touches
nothing, `rename` moves what is there to the next free name (`stem.1.ext`), `overwrite` takes its place, `append`
follows on it or is refused with SinkError. With `resume`, what is not of this run is never touched: OutputExists.

**Files.** `output.path` is absolute, and the output's own name. A writer of files may write others beside it, whose
names begin with that name: the commit record `PATH.dtopipe` (`dtopipe.sinks.file.commit_record`: how far it is, the
gaps, the lock), and what `SinkType.companions` names by its ending. They go where the output goes, when it is renamed,
overwritten or repaired. `files()` names what must be there once samples are committed, among them the commit record,
without which it is not to be given: the framework looks at them after each commit, so that a file that somebody deletes
or moves is noticed and not written on into nowhere. They have to be the same files as long as the writer is open: one
that takes the place of another at a commit is not among them.
A writer without a file (a database, a network) has `output.path` None where its topology gives none; what its errors
call `path` is then where it writes to, without passwords.

**Notes.** Beside its samples a run has marks, metadata that may change while it goes on, and readings of instruments.
All of them are in the run folder. A writer whose format has a place for them says so by its methods: `NotingWriter`,
`InstrumentsWriter`. They come between two commits, and all of them once more to a successor.

**The reader** is made as `Reader(path, run_id=...)`, of an output that may be growing, have been killed over, or be
damaged: it takes no lock and writes nothing. With `SinkType.reader_takes_stream` it also gets `stream=`, what the run
recorded; without a path it gets the writer's options as keywords. `dtopipe.sinks.file.reader.FileReader` reads the
commit record, and `dtopipe.sinks.file.line_reader.LineReader` whole lines. Without a reader an output is written, and
neither verified, repaired nor tailed.

**An output that is full or away.** A writer says so with SinkUnavailable (path, what is wrong, the way out), from any
call; an OSError that it lets through counts as that where it is of a full disk or the like. The sink's state is `away`
then, no restart is spent, and it is tried again for as long as the run goes on, and `drain_limit` longer. Half of what
was to be written may be in the output, and the writer must not be asked to write on behind it: after such an error the
framework calls `abandon` and nothing else, makes a new writer, opens that with `resume` as often as it takes, and
appends again what was appended since the last commit that had returned. So what an author owes is that `open` with
`resume` cuts back to the last commit, as after a death. If the commit that failed is in the output after all, `open`
returns that position, and nothing is appended twice.
A writer whose class says `retries = True` promises more, and is left open: a call that raised SinkUnavailable has
changed nothing that counts, and the same call is made again. For `append` that means that none of its items is in the
output, not even half of one; for `commit` that everything appended is still to be committed. OutputAway is the
exception: it says that the writer has to be opened again, whatever its class says.

**Any other error**, SinkError or what a library raises, ends the process. A successor is opened with `resume`, as often
as the topology's `restart` allows; then the sink has given up, and the run's verdict says what it said last. Of a sink
that is to begin with the run, an error of `open` refuses the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.model.wanted import Wanted

__all__ = [
    "DescribedReader",
    "FileOutput",
    "InstrumentsWriter",
    "MarkedReader",
    "NotingWriter",
    "OutputOptions",
    "OutputReader",
    "OutputRows",
    "PartReader",
    "Position",
    "RemarkingWriter",
    "RetiringWriter",
    "SinkWriter",
    "marks_in",
    "may_retry",
    "remark_of",
]


class Stage(StrEnum):
    """What a writer does within a call."""

    # Values, rows or bytes are made of codes.
    CONVERT = "convert"
    # They go to the disk.
    WRITE = "write"


def _unseen(stage: Stage) -> AbstractContextManager[None]:
    """Nobody looks."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What every writer is told besides its own options. `path` is absolute; None for a sink without a file.

    `doing(stage)` is entered by a writer for as long as it is in that stage, so that `dtopipe why` tells a slow format
    from a slow disk; one that enters none is in `write` during `append`, and in `commit` during that.
    """

    path: Path | None
    layout: Layout = Layout.WIDE
    on_exists: OnExists = OnExists.ERROR
    doing: Callable[[Stage], AbstractContextManager[None]] = field(default=_unseen, compare=False, repr=False)


class SinkWriter(Protocol):
    """Writes one run into one output. Constructed as `Writer(output: OutputOptions, **own_options)`."""

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """Make the output ready and lock it; returns where to go on.

        With `resume`, an output of this run (`stream.run_id`) is cut back to its last commit and continued; where
        there is none, it is begun at `start` as without `resume`.
        Raises OutputExists, SinkUnavailable (worth another try: locked, away, full) or SinkError (final).
        """

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Take blocks and gaps, or the readings of a polled stream, in order. Raises SinkError.

        They need not be in the file before `commit`. After an error none of them counts.
        """

    def commit(self) -> Position:
        """Everything appended, gaps included, is in the output and survives every process. Raises SinkError.

        All of it or nothing: after an error the output is as after the last commit, or as after this one.
        """

    def sync(self) -> Position:
        """Make what is committed durable: it survives a power cut. Raises SinkError."""

    def close(self) -> Position:
        """Commit, complete the output for its readers, sync it and give up the lock. Raises SinkError."""

    def abandon(self) -> None:
        """Give up handles and lock without completing; what was not committed is forgotten. Never raises."""


@runtime_checkable
class RetiringWriter(Protocol):
    """A writer whose oldest samples may go once they are durable elsewhere."""

    def retire_before(self, settled: int) -> Position:
        """What is before this sample index is not needed any more. What fails is tried again by the next call."""

    def carry(self, position: Position, gaps: Sequence[Gap]) -> Position:
        """Right after `open`: the output begins behind what was retired of the one that it takes the place of.

        `position` and `gaps` are those of what was retired. Raises SinkError.
        """


@runtime_checkable
class RemarkingWriter(Protocol):
    """A writer that says, after its `close`, what its output is not that was promised; empty if nothing."""

    remark: str


@runtime_checkable
class FileOutput(Protocol):
    """What a writer of files has besides: others can see whether the output is still where it was opened."""

    def files(self) -> Sequence[Path]:
        """What must be there once samples are committed, the commit record among them; asked before `open` too."""


@runtime_checkable
class MarkedReader(Protocol):
    """A reader whose output tells of marks."""

    def marks(self) -> Sequence[Mark]:
        """The marks of the run, by their numbers. Raises SinkError."""


def marks_in(reader: OutputReader) -> Sequence[Mark]:
    """The marks that an output tells of, by their moments; none where it has no place for them."""
    found = reader.marks() if isinstance(reader, MarkedReader) else ()
    return sorted(found, key=lambda mark: (mark.sample_index, mark.number))


def remark_of(writer: SinkWriter) -> str:
    """What a writer that was closed has to say of its output, for the verdict."""
    return writer.remark if isinstance(writer, RemarkingWriter) else ""


def may_retry(writer: SinkWriter) -> bool:
    """True if a call of this writer that raised SinkUnavailable may be made again, as its class has said."""
    return getattr(writer, "retries", False) is True


@runtime_checkable
class NotingWriter(Protocol):
    """A writer whose output tells, besides samples, what people noted of the run."""

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """Take marks that may be there already, by their numbers, and the run's metadata where they were changed.

        They are in the output with the next `commit` at the earliest, and with `close` at the latest.
        """


@runtime_checkable
class InstrumentsWriter(Protocol):
    """A writer whose output has the readings of instruments beside the run."""

    def note_readings(self, readings: Sequence[InstrumentReading]) -> None:
        """Take readings, by their numbers in order; some may be there already. They are in with the next `commit`."""


@runtime_checkable
class DetachableWriter(Protocol):
    """A writer whose output tells those who follow it that the run is over."""

    def detach(self) -> None:
        """The run goes on without this output: `close`, which follows, must not tell that it is over."""


class OutputReader(Protocol):
    """Reads one run's output back from the file itself, for `verify`, `convert` and `load`.

    A reader may have more, by which what a power cut or a bad disk has left is taken: `sound_batches(on_damage)`, every
    row that is whole, also behind a damaged place and behind the last commit, `on_damage` being told in words of each
    place that is passed over; `reach()`, the position with what of whole rows follows on it behind the last commit; and
    `front()`, a `dtopipe.sinks.file.whole_part.Front` (sample index and byte up to which everything is whole) or None.
    Without `front` a repair writes an output that was killed over anew, which may take as long as its run; with it, it
    goes on from there. `CsvReader.front` in `dtopipe/sinks/text/csv_reader.py` is one of ten lines.
    With `holds_nonfinite = False` it says that NaN and infinities are null in this output, whatever its type can hold.
    With `stream()` (DescribedReader) `dtopipe.load` takes the file by itself, and with `rows_within()` (PartReader) a
    span of a large one without reading the rest. With `marks()` (MarkedReader) it tells of the run's marks.
    """

    def position(self) -> Position:
        """What the output says of itself (its commit record, or its own tables)."""

    def gaps(self) -> Sequence[Gap]:
        """The gaps that are stored with the output, in order."""

    def batches(self) -> Iterator[OutputRows]:
        """The rows in the order of the file, in batches of bounded size."""


@runtime_checkable
class DescribedReader(Protocol):
    """A reader whose output says of what run it is, for `dtopipe.load` of a file by itself."""

    def stream(self) -> Stream:
        """What the output says of its run: channels, units, rate. Raises SinkError where it says too little."""


@runtime_checkable
class PartReader(Protocol):
    """A reader that need not read all of an output to give a part of it, for `dtopipe.load` of large ones."""

    def rows_within(self, wanted: Wanted, channels: Sequence[int]) -> Iterator[OutputRows]:
        """At least the rows that are wanted, in the order of the file; `values` are those of `channels`, in that order.

        `channels` are numbers among the output's own, and so is `OutputRows.channel` of the long layout. Damage where
        it looks raises SinkError.
        """


@dataclass(frozen=True, slots=True)
class OutputRows:
    """Some rows of an output, of either layout, as columns.

    `sample_index`, `t_mono_ns`, `t_utc_ns`: (n,) int64. `values[c]`: (n,) float64 with NaN for null, one array a
    channel of the stream, in its order; in the long layout rows of one channel come as a batch of their own, with
    `channel` set and `values` of length one.
    """

    sample_index: NDArray[np.int64]
    t_mono_ns: NDArray[np.int64]
    t_utc_ns: NDArray[np.int64]
    values: Sequence[NDArray[np.float64]]
    channel: int | None = None

    def of_channels(self, numbers: Sequence[int]) -> OutputRows | None:
        """The same rows with these channels only, in that order; None for rows of the long layout of another one."""
        if self.channel is not None:
            return self if self.channel in numbers else None
        return replace(self, values=[self.values[number] for number in numbers])
