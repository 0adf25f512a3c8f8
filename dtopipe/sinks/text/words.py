"""The words of lines, which are not in their rows of numbers: names of columns, devices, tasks, units, errors."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dtopipe.model.stream import Stream
from dtopipe.sinks.rows.long_words import WORD_COLUMNS, words_of
from dtopipe.sinks.text.delimited import LONG_COLUMNS, TIME_COLUMNS

# What long rows say of their channel, and which of their columns are numbers.
_PLACES = tuple(LONG_COLUMNS.index(word) for word in WORD_COLUMNS)


@dataclass(frozen=True, slots=True)
class Words:
    """What may stand in the lines of a stream's output: the names of its columns, and in long rows of its channels."""

    columns: tuple[str, ...]
    is_long: bool
    of_channels: frozenset[tuple[str | None, ...]]

    @classmethod
    def of(cls, stream: Stream, *, is_long: bool) -> Words:
        """Those of this stream."""
        wide = (*TIME_COLUMNS, *(channel.name for channel in stream.channels))
        return cls(tuple(LONG_COLUMNS) if is_long else wide, is_long, frozenset(words_of(stream)))

    def are_known(self, values: Sequence[Any]) -> bool:
        """True if the words among the values of a long row are those of a channel."""
        told = tuple(values[place] for place in _PLACES)
        return told in self.of_channels or tuple(word or "" for word in told[:4]) + told[4:] in self.of_channels


def strange_in_json(lines: Iterator[str], words: Words) -> Iterator[int]:
    """The numbers of the lines that have other words; those that cannot be read at all are not among them."""
    for number, line in enumerate(lines, start=1):
        try:
            document = json.loads(line)
            values = list(document.values())
        except (ValueError, AttributeError, RecursionError):
            continue
        if tuple(document) != words.columns or (words.is_long and not words.are_known(values)):
            yield number


def strange_in_csv(lines: Iterator[str], words: Words, *, has_header: bool) -> Iterator[int]:
    """The same; of wide rows the names of the columns have words alone."""
    rows = csv.reader(lines)
    number = 1
    try:
        if has_header and tuple(next(rows, ())) != words.columns:
            yield number
        if not words.is_long:
            return
        for row in rows:
            number = rows.line_num
            if len(row) == len(words.columns) and not words.are_known([text or None for text in row]):
                yield number
    except csv.Error:
        yield number
