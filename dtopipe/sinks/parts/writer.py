"""A writer that goes on in the next part: each part is a whole output, closed and final once the next one begins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.splitting import number_of
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import FileOutput, NotingWriter, OutputOptions, SinkWriter, remark_of
from dtopipe.sinks.parts.names import part_path, parts_there
from dtopipe.sinks.parts.positions import together
from dtopipe.sinks.parts.whole_groups import WholeGroups
from dtopipe.wire.commit_snapshot import CommitSnapshot, read_snapshot, record_path

Make = Callable[[OutputOptions], SinkWriter]


def parted(make: Make, output: OutputOptions, samples_a_part: Callable[[Stream], int]) -> PartedWriter:
    """The writer of an output in parts, `output.path` having a place for their numbers. Raises SinkError.

    `make`: of a part, whose path is in the options; `samples_a_part`: of the stream that is to be written.
    """
    # Made at once: what has a wrong option is told before anything is begun.
    notes = isinstance(make(output), NotingWriter)
    return (NotingPartedWriter if notes else PartedWriter)(make, output, samples_a_part)


class PartedWriter:
    """A SinkWriter. Its position is that of all parts together."""

    def __init__(self, make: Make, output: OutputOptions, samples_a_part: Callable[[Stream], int]) -> None:
        if output.path is None:
            raise SinkError(None, "an output in parts is a file", "give it a path")
        self._make = make
        self._output = output
        self._path: Path = output.path
        self._samples_of = samples_a_part
        self._writer: SinkWriter | None = None
        self._number = 0
        # Of the parts that are closed, and of the one that is written.
        self._before = self._present = Position()
        self._remarks: list[str] = []

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """As SinkWriter.open: with `resume` it goes on in the last part that is there."""
        self._stream = stream
        self._samples = self._samples_of(stream)
        there = _own_parts(self._path, stream.run_id) if resume else {}
        if not there:
            self._before = Position(start, start, start)
            self._begin(number_of(start, self._samples), start, resume=resume)
            return self.position
        *closed, last = there
        self._before = together([Position(start, start, start), *(there[number].position for number in closed)])
        self._begin(last, there[last].position.start, resume=True)
        return self.position

    @property
    def position(self) -> Position:
        """How far it is, of what it was told."""
        return together([self._before, self._present])

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """As SinkWriter.append: what ends a part commits and closes it."""
        waiting: list[Block | Gap | Readings] = []
        for item in items:
            for number, piece in self._pieces(item):
                if number != self._number:
                    self._hand_over(waiting)
                    waiting = []
                    self._go_on_in(number)
                waiting.append(piece)
        self._hand_over(waiting)

    def _hand_over(self, items: Sequence[Block | Gap | Readings]) -> None:
        if items:
            WholeGroups(self._opened()).append(items)

    def commit(self) -> Position:
        """As SinkWriter.commit."""
        self._present = self._opened().commit()
        return self.position

    def sync(self) -> Position:
        """As SinkWriter.sync: the parts before are durable since they were closed."""
        self._present = self._opened().sync()
        return self.position

    def close(self) -> Position:
        """As SinkWriter.close."""
        self._present = self._opened().close()
        self._keep_remark()
        self._writer = None
        return self.position

    def abandon(self) -> None:
        """As SinkWriter.abandon."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def files(self) -> Sequence[Path]:
        """As FileOutput.files: those of the part that is written, before that of the last one that was begun."""
        writer = self._writer
        if writer is not None:
            return writer.files() if isinstance(writer, FileOutput) else ()
        last = next((file for file in reversed(parts_there(self._path).values()) if _was_begun(file)), None)
        return () if last is None else (record_path(last), last)

    @property
    def remark(self) -> str:
        """As RemarkingWriter.remark."""
        return "; ".join(self._remarks)

    def _pieces(self, item: Block | Gap | Readings) -> Iterator[tuple[int, Block | Gap | Readings]]:
        """What of it goes into which part."""
        if isinstance(item, Gap):
            yield self._number, item
            return
        at, stop = item.span.start, item.span.stop
        while at < stop:
            number = number_of(at, self._samples)
            end = min(stop, number * self._samples)
            yield number, item.trimmed(at, end)
            at = end

    def _go_on_in(self, number: int) -> None:
        """Everything appended belongs to the present part, which ends here."""
        self._present = self._opened().commit()
        self._present = self._opened().close()
        self._keep_remark()
        self._before, self._present = self.position, Position()
        self._writer = None
        self._begin(number, self._before.committed, resume=True)

    def _begin(self, number: int, start: int, *, resume: bool) -> None:
        self._number = number
        path = part_path(self._path, number)
        writer = self._make(replace(self._output, path=path))
        self._present = writer.open(self._stream, start, resume=resume)
        self._writer = writer
        if self._present.start != start:
            self.abandon()
            raise SinkError(path, f"begins at sample {self._present.start}, not {start}", "move it away")
        self._begun(writer)

    def _begun(self, writer: SinkWriter) -> None:
        """A part was opened."""

    def _keep_remark(self) -> None:
        remark = remark_of(self._opened())
        if remark:
            self._remarks.append(f"{part_path(self._path, self._number).name}: {remark}")

    def _opened(self) -> SinkWriter:
        if self._writer is None:
            raise SinkError(self._path, "this sink is not open", "open it first; a closed sink is not opened again")
        return self._writer


class NotingPartedWriter(PartedWriter):
    """Of a type that has a place for marks and metadata: a mark is in the part of its sample, or in a later one."""

    def __init__(self, make: Make, output: OutputOptions, samples_a_part: Callable[[Stream], int]) -> None:
        super().__init__(make, output, samples_a_part)
        self._later: list[Mark] = []
        self._metadata: Mapping[str, Any] | None = None

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note."""
        self._metadata = self._metadata if metadata is None else metadata
        self._give([*self._later, *marks], metadata)

    def close(self) -> Position:
        """As SinkWriter.close: what was noted beyond the end is in the last part."""
        writer = self._opened()
        if self._later and isinstance(writer, NotingWriter):
            writer.note(self._later, None)
            self._later = []
        return super().close()

    def _begun(self, writer: SinkWriter) -> None:
        self._give(self._later, self._metadata)

    def _give(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        stop = self._number * self._samples
        now = [mark for mark in marks if mark.sample_index < stop]
        self._later = [mark for mark in marks if mark.sample_index >= stop]
        writer = self._opened()
        if isinstance(writer, NotingWriter) and (now or metadata is not None):
            writer.note(now, metadata)


def _was_begun(file: Path) -> bool:
    """False for one over whose beginning its writer was killed, or found the disk full: nothing of it counts."""
    try:
        return read_snapshot(file) is not None
    except (WireError, OSError):
        # Whoever resumes it says what is wrong.
        return True


def _own_parts(path: Path, run_id: str) -> dict[int, CommitSnapshot]:
    """What the commit records of this run's parts say, by their numbers, in order. Raises SinkError."""
    found = {}
    for number, file in parts_there(path).items():
        with contextlib.suppress(FileNotFoundError):
            try:
                snapshot = read_snapshot(file)
            except (WireError, OSError) as error:
                raise SinkError(file, f"its commit record cannot be read: {error}", "call dtopipe repair") from error
            if snapshot is not None and snapshot.stream.run_id == run_id:
                found[number] = snapshot
    return found
