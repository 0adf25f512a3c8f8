"""Lines of a text output from a sample index on."""

from __future__ import annotations

from collections.abc import Callable


def rows_from(piece: bytes, start: int, index_of: Callable[[bytes], int], *, has_quotes: bool) -> bytes:
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
