"""Lines of a text output from a sample index on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from dtopipe.sinks.text.delimited import LONG_COLUMNS
from dtopipe.verify.outputs import Output

IndexOf = Callable[[bytes], int]
_PLACE_IN_LONG = LONG_COLUMNS.index("sample_index")


def index_of_row(output: Output) -> IndexOf:
    """What tells the sample index of one of its rows."""
    if output.type == "jsonl":
        return lambda row: int(json.loads(row)["sample_index"])
    if output.is_wide:
        return lambda row: int(row.partition(b",")[0])
    return lambda row: int(next(csv.reader(io.StringIO(row.decode(), newline="")))[_PLACE_IN_LONG])


def rows_from(piece: bytes, start: int, index_of: IndexOf, *, has_quotes: bool) -> bytes:
    """The rows in whole lines that are not before `start`. `has_quotes`: texts in them may have line breaks."""
    found, row = [], b""
    for line in piece[:-1].split(b"\n"):
        row += line + b"\n"
        if has_quotes and row.count(b'"') % 2:
            continue
        if index_of(row) >= start:
            found.append(row)
        row = b""
    return b"".join(found)
