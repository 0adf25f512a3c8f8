"""CSV and JSON Lines: the same columns of text between different literals."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from dtopipe.model.engineering import ERROR_MESSAGES, ERROR_TYPES
from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file.writer import FileWriter
from dtopipe.sinks.rows.neighbours import Joined, joined
from dtopipe.sinks.text.number_text import Texts
from dtopipe.sinks.text.reading_lines import ReadingLines
from dtopipe.sinks.text.rows import ValueTexts, iso_times, rising_integers, rows
from dtopipe.sinks.text.whole_lines import PAGE_BYTES, Fill, laid

TIME_COLUMNS = ("sample_index", "t_mono_ns", "t_utc")
LONG_COLUMNS = (
    "device", "task", "channel", "block_index", *TIME_COLUMNS, "value", "unit", "error_type", "error_message",
)  # fmt: skip
# Texts are as long as they are; few rows of readings are longer.
_ANY_LENGTH = 0
_USUAL_BYTES = 1024
_INTEGER_BYTES = len(str(-(2**63)))
_TIME_BYTES = len("2026-11-22T23:41:00.000000000Z")
# A batch's rows and their padding stay in a few MB, near the processor.
_BATCH_BYTES = 2**17


class DelimitedWriter(FileWriter):
    """Whole rows, appended; the layout's columns, nothing else."""

    null: bytes
    finite_only: bool
    # What stands before each value of a wide row where that is always the same: values are then made with it.
    separator: bytes = b""
    # What each byte of a wide row becomes, where that is something else.
    signs: bytes | None = None

    @abstractmethod
    def literals(self, columns: Sequence[str], unquoted: Sequence[str]) -> list[bytes]:
        """What stands before, between and behind the values of a row with these columns.

        `unquoted`: the columns whose texts come without the quotes that this kind of file may want.
        """

    @abstractmethod
    def quoted(self, text: str | None) -> bytes:
        """A text value of a row; None is null."""

    @abstractmethod
    def has_columns(self, file: BinaryIO, columns: Sequence[str]) -> bool:
        """True if the rows of the file, which is at its beginning, have just these columns."""

    @abstractmethod
    def fill_of(self, data: bytes, start: int, stop: int, file_at: int) -> Fill:
        """Where in the row from `start` to `stop` (behind its newline) which byte may be repeated: no value is changed.

        `file_at`: where in the file the row ends. Empty if there is no such place.
        """

    def may_be_laid(self, part: bytes) -> bool:
        """True if each line of these rows is a row."""
        return True

    def placed(self, part: bytes, at: int) -> bytes:
        """The rows as they stand from byte `at` of the file on: none of them across two pages, if they are short."""
        if not self.may_be_laid(part):
            return part
        return laid(part, at, self._longest or _longest_to_come(part), self.fill_of)

    @property
    def longest(self) -> int:
        """No row has more bytes than this, as far as can be told."""
        return self._longest or _USUAL_BYTES

    def check_appendable(self, stream: Stream, file: BinaryIO) -> None:
        """Rows may follow whole rows of the same columns."""
        if not self.has_columns(file, self._columns(stream)):
            raise SinkError(
                self.path,
                "the file there has other columns",
                "append to a file of the same channels, or set on_exists: rename",
            )
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise SinkError(self.path, "the last line there is cut", "complete or remove it, or set on_exists: rename")

    def begun(self, stream: Stream, extra: bytes) -> None:
        """Make ready for this stream's rows."""
        if stream.polled:
            columns = reading_columns(stream.channels)
            literals = self.literals([column.name for column in columns], ())
            self._reading_lines = ReadingLines(columns, literals, self.null, self.quoted, self.finite_only)
            self._longest = _ANY_LENGTH
            return
        wide = self.output.layout is Layout.WIDE
        prefix = self.separator if wide else b""
        self._texts = ValueTexts(stream, prefix=prefix, null=self.null, finite_only=self.finite_only)
        self._literals = self.literals(self._columns(stream), TIME_COLUMNS[2:])
        if prefix:
            self._literals = [*self._literals[: len(TIME_COLUMNS)], b"", self._literals[-1]]
        self._longest = self._longest_row(stream)

    def _longest_row(self, stream: Stream) -> int:
        """No row has more bytes than this."""
        fixed = sum(map(len, self._literals)) + 2 * _INTEGER_BYTES + _TIME_BYTES
        if self.output.layout is Layout.WIDE:
            return fixed + len(stream.channels) * self._texts.longest
        names = max(len(self.quoted(channel.name)) for channel in stream.channels)
        units = max(len(self.quoted(channel.unit)) for channel in stream.channels)
        about = len(self.quoted(stream.device)) + len(self.quoted(stream.task))
        errors = sum(max(len(self.quoted(text)) for text in texts) for texts in (ERROR_TYPES, ERROR_MESSAGES))
        return fixed + about + names + units + errors + _INTEGER_BYTES + self._texts.longest

    def begin_text(self, stream: Stream) -> bytes:
        """Be ready to encode this stream without an output, for who compares; returns what stands before its rows."""
        self._stream = stream
        self.begun(stream, b"")
        return self.header(stream)

    def encoded(self, items: Sequence[Block | Gap | Readings]) -> Iterator[bytes]:
        """Rows of the blocks or readings; gaps stand in the commit record."""
        if self._stream.polled:
            yield from (self._reading_lines(item) for item in items if isinstance(item, Readings))
            return
        for batch in joined(items, _BATCH_BYTES):
            if self.output.layout is Layout.WIDE:
                yield self._wide(batch.samples)
            else:
                yield from self.long_rows(batch)

    def channel_prefix(self, number: int) -> bytes:
        """What each row of that channel begins with in the long layout."""
        texts = (self._stream.device, self._stream.task, self._stream.channels[number].name)
        return b"".join(b"".join(pair) for pair in zip(self._literals, map(self.quoted, texts), strict=False))

    def _columns(self, stream: Stream) -> list[str]:
        """Names of the readings' or the layout's columns. Raises SinkError where two would be alike."""
        if stream.polled:
            return [column.name for column in reading_columns(stream.channels)]
        if self.output.layout is Layout.LONG:
            return list(LONG_COLUMNS)
        columns = [*TIME_COLUMNS, *(channel.name for channel in stream.channels)]
        seen: set[str] = set()
        for name in columns:
            if name in seen:
                raise SinkError(self.path, f"two columns would be named {name!r}", "rename that channel")
            seen.add(name)
        return columns

    def _times(self, samples: Block) -> list[Texts]:
        t_mono_ns = samples.t_mono_ns(self._stream.clock)
        t_utc_ns = t_mono_ns + (samples.anchor.t_utc_ns - samples.anchor.t_mono_ns)
        return [rising_integers(samples.sample_index()), rising_integers(t_mono_ns), iso_times(t_utc_ns)]

    def _wide(self, samples: Block) -> bytes:
        texts = self._texts(samples)
        if self.separator:
            # All channels side by side are one column.
            values = texts.view(f"S{texts.itemsize * texts.shape[1]}")[:, 0]
            return rows(self._literals, [*self._times(samples), values], self.signs)
        return rows(self._literals, [*self._times(samples), *texts.T], self.signs)

    def long_rows(self, batch: Joined) -> Iterator[bytes]:
        """One channel's rows behind the other's."""
        samples = batch.samples
        n = samples.n_samples
        times = self._times(samples)
        block_index = np.repeat(rising_integers(batch.block_indices), batch.block_lengths)
        values = self._texts(samples)
        for number, channel in enumerate(self._stream.channels):
            status = samples.sensor_status
            codes = np.zeros(n, np.int8) if status is None else status[number]
            columns = [
                _same(self.quoted(self._stream.device), n),
                _same(self.quoted(self._stream.task), n),
                _same(self.quoted(channel.name), n),
                block_index,
                *times,
                values[:, number],
                _same(self.quoted(channel.unit), n),
                np.array([self.quoted(text) for text in ERROR_TYPES])[codes],
                np.array([self.quoted(text) for text in ERROR_MESSAGES])[codes],
            ]
            yield rows(self._literals, columns)


def _longest_to_come(part: bytes) -> int:
    """What a row with texts in it may have: an error's words are longer than nothing."""
    return min(PAGE_BYTES, max(_USUAL_BYTES, 2 * max(map(len, part.split(b"\n"))) + 2))


def _same(text: bytes, n: int) -> Texts:
    return np.broadcast_to(np.array(text, dtype=f"S{max(1, len(text))}"), (n,))
