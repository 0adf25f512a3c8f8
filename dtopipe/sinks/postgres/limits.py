"""How many columns a row of Postgres takes, and which names it would cut or keeps for itself.

The same answer for `check`, which asks before anything is there, and for the sink, which asks once it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtopipe.model.sink_types import Column, ColumnLimits, Found
from dtopipe.sinks.postgres.config import MOST_NAME_BYTES

# https://www.postgresql.org/docs/current/limits.html
MOST_POSTGRES_COLUMNS = 1600
# Every table of Postgres has them.
SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
# What a page of 8 kB has for one row, MaxHeapTupleSize; a row of numbers cannot be on two.
_POSTGRES_ROW_BYTES = 8160
_POSTGRES_HEADER_BYTES = 23
_ALIGNED = 8
# Of `samples`: the run, and the times.
_N_FIXED = 4
_BIG, _SMALL = 8, 4
# A longer text is stored elsewhere, and a pointer to it here.
_TEXT_BYTES = 18


def postgres_row_fits(widths: Sequence[int]) -> bool:
    """True if Postgres takes a row of columns of so many bytes each (4, 8, or less for a text), nulls among them."""
    if len(widths) > MOST_POSTGRES_COLUMNS:
        return False
    # Where one value is null, a bit for every column stands in the header.
    at = _aligned(_POSTGRES_HEADER_BYTES + -(-len(widths) // 8), _ALIGNED)
    for width in widths:
        at = (_aligned(at, width) if width in (4, 8) else at) + width
    return at <= _POSTGRES_ROW_BYTES


def most_that_fit(fixed: Sequence[int], each: Sequence[int]) -> int:
    """How many channels of `each` so many bytes a row of Postgres takes behind its `fixed` columns."""
    low, high = 0, MOST_POSTGRES_COLUMNS
    while low < high:
        middle = (low + high + 1) // 2
        row = [*fixed, *(width for width in each for _ in range(middle))]
        low, high = (middle, high) if postgres_row_fits(row) else (low, middle - 1)
    return low


def _aligned(at: int, width: int) -> int:
    return -(-at // width) * width


def _most(columns: Sequence[Column], polled: bool) -> int:
    if polled:
        # A value, and its unit.
        return most_that_fit([_BIG] * 8 + [_TEXT_BYTES] * 4, (_BIG, 2))
    fixed = [_BIG] * _N_FIXED
    if len(columns) <= MOST_POSTGRES_COLUMNS and postgres_row_fits([*fixed, *map(_width, columns)]):
        return len(columns)
    return most_that_fit(fixed, (_SMALL if all(column.is_raw for column in columns) else _BIG,))


def _width(column: Column) -> int:
    return _SMALL if column.is_raw else _BIG


def name_problems(sink: str, columns: Sequence[Column], *, polled: bool) -> Found:
    """Names that Postgres would cut, or has for columns of its own; readings have one more name for each unit."""
    most = MOST_NAME_BYTES - (len("_unit") if polled else 0)
    for column in columns:
        name = column.name
        if len(name.encode(errors="replace")) > most:
            remedy = "shorten it" if polled else f"shorten it, or set sinks.{sink}.layout: long"
            yield (
                column.key,
                f"{name!r} has more than {most} bytes, the most that a column of sink {sink} takes",
                remedy,
            )
        elif name in SYSTEM_COLUMNS:
            remedy = "rename this channel" if polled else f"rename it, or set sinks.{sink}.layout: long"
            yield column.key, f"{name!r} is a column that every table of Postgres has (sink {sink})", remedy


COLUMNS = ColumnLimits("Postgres takes a row", _most, name_problems)
