"""How many columns a row takes in the outputs that have a limit, and which names those keep for themselves.

The same answer for `check`, which asks before anything is there, and for the sinks, which ask once it is.
"""

from __future__ import annotations

from collections.abc import Sequence

# As SQLite is compiled everywhere: https://www.sqlite.org/limits.html
MOST_SQLITE_COLUMNS = 2000
# https://www.postgresql.org/docs/current/limits.html
MOST_POSTGRES_COLUMNS = 1600
# More than any board has, and no more than what is told to each process of a run has room for.
MOST_CHANNELS = 16_384
# What every row of SQLite has, and what is asked for by it: a column of this name would hide it.
SQLITE_ROW_NAME = "rowid"
# Every table of Postgres has them.
SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
# The widest table that a spreadsheet opens; of text rows beyond it nobody's program makes a table.
MOST_TEXT_COLUMNS = 16_384
# What a page of 8 kB has for one row, MaxHeapTupleSize; a row of numbers cannot be on two.
_POSTGRES_ROW_BYTES = 8160
_POSTGRES_HEADER_BYTES = 23
_ALIGNED = 8


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
