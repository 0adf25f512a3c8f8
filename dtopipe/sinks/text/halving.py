"""Where in a long file of rows, which are in the order of their samples, a span of them is: by halving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from dtopipe.sinks.file.errors import sink_errors

# What is read at once costs no more than another look.
_NEAR_BYTES = 2**16
_LONGEST_ROW = 2**20

IndexOf = Callable[[bytes], int]


def byte_before(path: Path, index_of: IndexOf, within: tuple[int, int], sample_index: int, rows_begin: int) -> int:
    """Where a row begins before which no row has this sample index or a later one.

    `within`: bytes of the file between which it is; `rows_begin`: where the first row of the file begins. Where a line
    is damaged, the first of these bytes. Raises SinkError if the file cannot be read.
    """
    low, high = within
    if sample_index <= 0:
        return low
    begin, found = max(low, rows_begin), low
    with sink_errors(path), path.open("rb") as file:
        while high - max(begin, found) > _NEAR_BYTES:
            middle = (max(begin, found) + high) // 2
            row = _row_from(file, index_of, middle)
            if row is None:
                return low
            at, index = row
            if at >= high:
                break
            if index < sample_index:
                found = at
            else:
                high = middle
    return found


def byte_behind(path: Path, index_of: IndexOf, within: tuple[int, int], sample_index: int, rows_begin: int) -> int:
    """Where a row begins from which on every row has this sample index or a later one; else the last byte."""
    low, high = within
    begin, found = max(low, rows_begin), high
    with sink_errors(path), path.open("rb") as file:
        while found - begin > _NEAR_BYTES:
            middle = (begin + found) // 2
            row = _row_from(file, index_of, middle)
            if row is None:
                return high
            at, index = row
            if at >= found:
                break
            if index >= sample_index:
                found = at
            else:
                begin = at
    return found


def _row_from(file: BinaryIO, index_of: IndexOf, at: int) -> tuple[int, int] | None:
    """The first whole row that begins behind this byte, and its sample index; None where it cannot be read."""
    file.seek(at)
    if not file.readline(_LONGEST_ROW).endswith(b"\n"):
        return None
    begin = file.tell()
    row = file.readline(_LONGEST_ROW)
    try:
        return (begin, index_of(row)) if row.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
