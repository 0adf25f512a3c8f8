"""The words of a text output, which are not in its rows of numbers: names of columns, devices, tasks, units, errors."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dtopipe.model.stream import Stream
from dtopipe.sinks.rows.long_words import WORD_COLUMNS, words_of
from dtopipe.sinks.text.delimited import LONG_COLUMNS, TIME_COLUMNS

# What long rows say of their channel, and which of their columns are numbers.
_PLACES = tuple(LONG_COLUMNS.index(word) for word in WORD_COLUMNS)


def misworded(path: Path, kind: str, stream: Stream, start: int, stop: int, *, is_long: bool) -> tuple[int, int]:
    """How many lines have words that are not those of the stream, and which is the first, counted from byte `start`.

    Lines that cannot be read at all are not among them. `kind`: csv or jsonl. Raises OSError.
    """
    columns = list(LONG_COLUMNS) if is_long else [*TIME_COLUMNS, *(channel.name for channel in stream.channels)]
    words = set(words_of(stream))
    with path.open("rb") as file:
        file.seek(start)
        lines = _lines(file, stop)
        if kind == "jsonl":
            wrong = _of_json(lines, columns, words, is_long=is_long)
        else:
            wrong = _of_csv(lines, columns, words, has_header=start == 0, is_long=is_long)
        first = next(wrong, 0)
        return (1 + sum(1 for _ in wrong) if first else 0), first


def _lines(file: Any, stop: int) -> Iterator[str]:
    while file.tell() < stop and (line := file.readline(min(2**24, stop - file.tell()))):
        yield line.decode(errors="replace")


def _of_json(
    lines: Iterator[str], columns: Sequence[str], words: set[tuple[str | None, ...]], *, is_long: bool
) -> Iterator[int]:
    for number, line in enumerate(lines, start=1):
        try:
            document = json.loads(line)
            values = list(document.values())
        except (ValueError, AttributeError, RecursionError):
            continue
        if list(document) != columns or (is_long and not _are_known(values, words)):
            yield number


def _of_csv(
    lines: Iterator[str],
    columns: Sequence[str],
    words: set[tuple[str | None, ...]],
    *,
    has_header: bool,
    is_long: bool,
) -> Iterator[int]:
    rows = csv.reader(lines)
    number = 1
    try:
        if has_header and next(rows, None) != columns:
            yield number
        if not is_long:
            return
        for row in rows:
            number = rows.line_num
            if len(row) == len(columns) and not _are_known([text or None for text in row], words):
                yield number
    except csv.Error:
        yield number


def _are_known(values: Sequence[Any], words: set[tuple[str | None, ...]]) -> bool:
    told = tuple(values[place] for place in _PLACES)
    return told in words or tuple(word or "" for word in told[:4]) + told[4:] in words
