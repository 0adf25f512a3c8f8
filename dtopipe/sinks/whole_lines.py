"""Lays lines into pages, so that whoever looks at a growing file finds whole lines only.

A file that is written to grows for its readers page by page, however much one write holds: a line across the border of
two pages is seen cut. So a line that ends near the end of a page is made longer, by bytes that change no value, until it
ends with the page. Pages are of 4 kB or multiples of that everywhere. Where a line stands alone decides, not how many
were written at a time: the same rows at the same place are the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

PAGE_BYTES = 4096
# Of longer lines too much of a page would be filled up: they stand as they come.
_LONGEST_LINE_BYTES = 1024

PlaceOf = Callable[[bytes, int, int], int]


def laid(data: bytes, at: int, longest: int, fill: bytes, place_of: PlaceOf) -> bytes:
    """Whole lines of at most `longest` bytes, as they stand in a file from byte `at` on.

    `fill`: a byte that may be repeated at the place that `place_of(data, start, stop)` gives for the line there.
    """
    if longest > _LONGEST_LINE_BYTES:
        return data
    pieces = []
    begin = copied = 0
    while True:
        room = PAGE_BYTES - at % PAGE_BYTES
        stop = data.find(b"\n", begin + max(0, room - longest)) + 1
        if not stop:
            break
        at += stop - begin
        lacking = room - (stop - begin)
        if lacking > 0:
            place = place_of(data, data.rfind(b"\n", begin, stop - 1) + 1 or begin, stop)
            pieces += data[copied:place], fill * lacking
            copied = place
            at += lacking
        begin = stop
    if not pieces:
        return data
    pieces.append(data[copied:])
    return b"".join(pieces)
