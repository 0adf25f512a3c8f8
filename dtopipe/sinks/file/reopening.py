"""A writer that goes on when its output comes back: opened again, never written on behind what is half written."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dtopipe.model.errors import OutputAway, SinkError, SinkUnavailable
from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import (
    DetachableWriter,
    FileOutput,
    InstrumentsWriter,
    NotingWriter,
    RetiringWriter,
    SinkWriter,
    may_retry,
    remark_of,
)
from dtopipe.sinks.file.errors import sink_error
from dtopipe.sinks.file.identity import FileIdentity, absent, ensure_resumable


class ReopeningWriter:
    """A SinkWriter over another one; after SinkUnavailable the same call may be made again.

    `make()`: a new writer of the output at `path`. What was appended since the last commit is kept until the next, and
    appended again to an output that was opened again: after OutputAway, and after any SinkUnavailable of a writer that
    does not promise that nothing is left of a call that failed (`retries`).
    """

    def __init__(self, make: Callable[[], SinkWriter], path: Path | None) -> None:
        self._make = make
        self._path = path
        # Made at once: what cannot be loaded or has a wrong option is told before anything is waited for.
        self._writer = make()
        self._is_used = self._is_to_be_opened = self._is_detached = False
        self._presence = FileIdentity()
        self._position = Position()
        self._items: list[Block | Gap | Readings] = []
        # Noted since the last commit.
        self._marks: list[Mark] = []
        self._metadata: Mapping[str, Any] | None = None
        self._readings: list[InstrumentReading] = []

    def open(self, stream: Stream, start: int, *, resume: bool, committed: int = 0) -> Position:
        """As SinkWriter.open; with `resume`, an output that had committed up to `committed` must have that still."""
        self._stream, self._start = stream, start
        self._position = self._open(resume=resume, committed=committed)
        return self._position

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """As SinkWriter.append."""
        with self._open_writer() as writer:
            writer.append(items)
        self._items += items

    @property
    def takes_notes(self) -> bool:
        """True if the output has a place for marks and metadata."""
        return isinstance(self._writer, NotingWriter)

    @property
    def takes_instruments(self) -> bool:
        """True if it has one for readings of instruments."""
        return isinstance(self._writer, InstrumentsWriter)

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note, of a writer that has it; kept until the next commit."""
        self._marks += marks
        self._metadata = self._metadata if metadata is None else metadata
        if not self._is_to_be_opened and isinstance(self._writer, NotingWriter):
            self._writer.note(marks, metadata)

    def note_readings(self, readings: Sequence[InstrumentReading]) -> None:
        """As InstrumentsWriter.note_readings, of a writer that has it; kept until the next commit."""
        self._readings += readings
        if not self._is_to_be_opened and isinstance(self._writer, InstrumentsWriter):
            self._writer.note_readings(readings)

    def commit(self) -> Position:
        """As SinkWriter.commit; the output is there where it was opened, so that others will find it."""
        with self._open_writer() as writer:
            position = writer.commit()
            self._look()
        self._position, self._items = position, []
        self._marks, self._metadata, self._readings = [], None, []
        return position

    def sync(self) -> Position:
        """As SinkWriter.sync."""
        with self._open_writer() as writer:
            durable = writer.sync().durable
            self._look()
        # A writer that counts in what was appended since the last commit errs: nothing else may be made durable.
        self._position = replace(self._position, durable=min(durable, self._position.committed))
        return self._position

    def detach(self) -> None:
        """As DetachableWriter.detach, of a writer that has it."""
        self._is_detached = True

    @property
    def retires(self) -> bool:
        """True if the writer is one whose oldest samples may go."""
        return isinstance(self._writer, RetiringWriter)

    def retire_before(self, settled: int) -> Position:
        """As RetiringWriter.retire_before; nothing goes while the output is not the one that is open."""
        writer = self._writer
        if self._is_to_be_opened or not isinstance(writer, RetiringWriter):
            return self._position
        try:
            self._look()
        except SinkError:
            # The next commit says so, and waits.
            return self._position
        self._position = writer.retire_before(settled)
        return self._position

    @property
    def position(self) -> Position:
        """How far the output was when it last said so."""
        return self._position

    @property
    def remark(self) -> str:
        """As RemarkingWriter.remark."""
        return "" if self._writer is None else remark_of(self._writer)

    def close(self) -> Position:
        """As SinkWriter.close."""
        self.commit()
        with self._open_writer() as writer:
            return self._close(writer)

    def _close(self, writer: SinkWriter) -> Position:
        if self._is_detached and isinstance(writer, DetachableWriter):
            writer.detach()
        return writer.close()

    def close_as_committed(self) -> Position:
        """Close an output that is away with what it has: what was appended since the last commit is given up.

        Raises SinkError where even that is not possible; then the output is let go of, as `abandon` does.
        """
        self.abandon()
        self._items = []
        self._position = self._open(resume=True, committed=self._position.committed)
        try:
            with self._told():
                return self._close(self._writer)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """As SinkWriter.abandon."""
        try:
            self._writer.abandon()
        except Exception as error:
            # It must not, and may all the same: a plug-in's file writes what it still holds when it is closed.
            logging.warning("letting go of the output: %s", error)

    @contextlib.contextmanager
    def _open_writer(self) -> Iterator[SinkWriter]:
        if self._is_to_be_opened:
            self._reopen()
        try:
            with self._told():
                yield self._writer
        except OutputAway:
            self._is_to_be_opened = True
            raise
        except SinkUnavailable:
            # Half of what failed may be in the output: only `open` knows how to cut that off.
            self._is_to_be_opened = self._is_to_be_opened or not may_retry(self._writer)
            raise
        except SinkError as error:
            # What a writer opens by name while it is open: the next segment, its folder.
            if error.path is None or not isinstance(error.__cause__, FileNotFoundError):
                raise
            self._is_to_be_opened = True
            raise absent(Path(error.path)) from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the system says to a writer that lets it through, in our words, where the output is a file."""
        try:
            yield
        except OSError as error:
            if self._path is None:
                raise
            raise sink_error(self._path, error) from error

    def _reopen(self) -> None:
        self.abandon()
        before = self._position
        position = self._open(resume=True, committed=before.committed)
        # A commit whose end could not be seen may be in the output.
        if position.committed == before.committed:
            if self._items:
                with self._told():
                    self._writer.append(self._items)
        elif before.committed < position.committed <= before.after(self._items).committed:
            # All of what was appended, or what was to end a part.
            self._position, self._items = position, _behind(self._items, position.committed)
            if self._items:
                with self._told():
                    self._writer.append(self._items)
        else:
            raise SinkError(
                self._path,
                f"holds samples up to {position.committed}, and {before.committed} were committed",
                "somebody else has written it: call dtopipe repair after the run",
            )
        self._is_to_be_opened = False
        self._note_again()
        logging.info("opened again behind sample %d", position.committed)

    def _note_again(self) -> None:
        """What was noted since the last commit; what is in the output is known there."""
        if isinstance(self._writer, NotingWriter) and (self._marks or self._metadata is not None):
            self._writer.note(self._marks, self._metadata)
        if isinstance(self._writer, InstrumentsWriter) and self._readings:
            self._writer.note_readings(self._readings)

    def _open(self, *, resume: bool, committed: int) -> Position:
        if self._is_used:
            self._writer = self._make()
        self._is_used = True
        writer = self._writer
        had_samples = resume and committed > self._start and isinstance(writer, FileOutput)
        if had_samples and self._path is not None and isinstance(writer, FileOutput):
            ensure_resumable(self._path, self._stream.run_id, writer.files())
        with self._told():
            position = writer.open(self._stream, self._start, resume=resume)
        try:
            if had_samples and position.committed < committed:
                raise SinkError(
                    self._path,
                    f"came back with samples up to {position.committed} of the {committed} that were committed",
                    "put it back as it was and call dtopipe restart, or dtopipe repair after the run",
                )
            self._presence = FileIdentity()
            self._look()
        except BaseException:
            self.abandon()
            raise
        return position

    def _look(self) -> None:
        if isinstance(self._writer, FileOutput):
            self._presence.look(self._writer.files())


def _behind(items: Sequence[Block | Gap | Readings], index: int) -> list[Block | Gap | Readings]:
    """What of these is behind that sample index; a gap is on one side of it."""
    found: list[Block | Gap | Readings] = []
    for item in items:
        if item.span.stop > index:
            found.append(item if isinstance(item, Gap) else item.trimmed(index, item.span.stop))
    return found
