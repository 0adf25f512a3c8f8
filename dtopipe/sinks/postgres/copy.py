"""Columns as the bytes of Postgres' binary COPY, laid out by numpy.

Format: https://www.postgresql.org/docs/current/sql-copy.html, Binary Format; big-endian. A row is a 16-bit count of
fields, and for each field a 32-bit length, -1 for null, and its bytes. Rows are laid out with room for every field at
its longest; what is absent of nulls and of shorter texts is cut out afterwards, where there is any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# Postgres counts microseconds from 2000-01-01.
EPOCH_US = 946_684_800_000_000


class Kind(Enum):
    """What a column holds, with the numpy type of its bytes."""

    INT8 = ">i8"
    INT4 = ">i4"
    FLOAT8 = ">f8"
    # Values are UTC in ns since 1970; Postgres keeps microseconds.
    TIME = ">t8"
    TEXT = ">S"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of n rows. `values`: (n,) numbers; texts, None for null; or one value for all rows.

    `nulls`: (n,) bool, of columns of numbers; None where there is no null.
    """

    name: str
    kind: Kind
    values: Any
    nulls: NDArray[np.bool_] | None = None


def copied_rows(columns: Sequence[Column], n_rows: int) -> bytes | memoryview:
    """The rows for COPY, without header and trailer."""
    laid = [_laid(column, n_rows) for column in columns]
    fields: list[Any] = [("count", ">i2")]
    for number, each in enumerate(laid):
        fields += [(f"length{number}", ">i4"), (f"bytes{number}", each.dtype)]
    rows = np.empty(n_rows, np.dtype(fields))
    rows["count"] = len(columns)
    for number, each in enumerate(laid):
        rows[f"length{number}"] = each.lengths
        rows[f"bytes{number}"] = each.bytes
    if all(each.is_full for each in laid):
        return rows.view(np.uint8).data
    kept = np.ones((n_rows, rows.itemsize), bool)
    for number, each in enumerate(laid):
        if not each.is_full:
            at = rows.dtype.fields[f"bytes{number}"][1]  # type: ignore[index]
            width = each.dtype.itemsize
            kept[:, at : at + width] = np.arange(width) < np.maximum(each.lengths, 0)[:, None]
    return rows.view(np.uint8).reshape(n_rows, rows.itemsize)[kept].tobytes()


def time_us(t_utc_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Microseconds since 2000 of ns since 1970, rounded down."""
    return t_utc_ns // 1000 - EPOCH_US


@dataclass(frozen=True, slots=True)
class _Laid:
    """One field of each row at its longest. `lengths`: one for all, or (n,) with -1 for null."""

    dtype: np.dtype[Any]
    bytes: Any
    lengths: Any
    is_full: bool


def _laid(column: Column, n_rows: int) -> _Laid:
    if column.kind is Kind.TEXT:
        return _laid_text(column.values, n_rows)
    values = column.values
    if column.kind is Kind.TIME:
        values = time_us(np.asarray(values))
        dtype = np.dtype(Kind.INT8.value)
    else:
        dtype = np.dtype(column.kind.value)
    if column.nulls is None or not column.nulls.any():
        return _Laid(dtype, values, dtype.itemsize, is_full=True)
    return _Laid(dtype, values, np.where(column.nulls, -1, dtype.itemsize), is_full=False)


def _laid_text(values: Sequence[str | None] | str | None, n_rows: int) -> _Laid:
    texts = [values] if values is None or isinstance(values, str) else values
    encoded = [None if text is None else _encoded(text) for text in texts]
    width = max((len(text) for text in encoded if text), default=0)
    # numpy has no strings of width 0.
    dtype = np.dtype((np.void, width)) if width else np.dtype((np.void, 1))
    lengths = np.array([-1 if text is None else len(text) for text in encoded])
    padded = b"".join((text or b"").ljust(dtype.itemsize, b"\0") for text in encoded)
    laid = np.frombuffer(padded, dtype)
    if len(encoded) == 1 and n_rows != 1:
        laid, lengths = np.broadcast_to(laid, (n_rows,)), np.broadcast_to(lengths, (n_rows,))
    return _Laid(dtype, laid, lengths, is_full=bool(width and (lengths == width).all()))


def _encoded(text: str) -> bytes:
    return text.replace("\0", "\ufffd").encode(errors="replace")
