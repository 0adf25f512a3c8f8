"""The cells of CSV, as text and as columns of numbers; what is no number raises what is in `SPOILT`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

LONGEST_HEADER_BYTES = 2**24
# What a damaged text gives when it is read as numbers, times or rows.
SPOILT = (ValueError, IndexError, OverflowError, csv.Error)


def first_line(file: BinaryIO) -> bytes:
    """The names of the columns, which may hold line breaks."""
    head = file.readline(LONGEST_HEADER_BYTES)
    while head.count(b'"') % 2:
        more = file.readline(LONGEST_HEADER_BYTES)
        if not more:
            break
        head += more
    return head


def parsed(data: bytes, delimiter: str = ",") -> list[list[str]]:
    """The cells of whole lines with texts in them. Raises what is in SPOILT."""
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


def fields(piece: bytes, n_columns: int) -> list[list[bytes]]:
    """The columns of whole lines of numbers, between commas. Raises ValueError."""
    cells = piece[:-1].replace(b"\n", b",").split(b",")
    if len(cells) != n_columns * piece.count(b"\n"):
        raise ValueError("a line with other columns")
    return [cells[n::n_columns] for n in range(n_columns)]


def integers(texts: Sequence[bytes]) -> NDArray[np.int64]:
    """(n,) int64 of decimal texts."""
    return np.array(list(map(int, texts)), dtype=np.int64)


def numbers(texts: Sequence[bytes]) -> NDArray[np.float64]:
    """(n,) float64 of texts, exact; NaN for an empty one."""
    return np.array([float(text) if text else np.nan for text in texts], dtype=np.float64)


def times(texts: Sequence[bytes]) -> NDArray[np.int64]:
    """(n,) int64 ns since 1970 of ISO 8601 texts that end in `Z`."""
    stamps = np.array([text[:-1].decode() for text in texts], dtype="datetime64[ns]")
    return stamps.astype(np.int64)
