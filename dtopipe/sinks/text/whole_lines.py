"""Lays lines into pages, so that whoever looks at a growing file finds whole lines only.

A file that is written to grows for its readers page by page, however much one write holds: a line across the border
of two pages is seen cut. So a line that ends near the end of a page is made longer, by bytes that change no value,
until it ends with the page. Pages are of 4 kB or multiples of that everywhere. Where a line stands alone decides, not
how many were written at a time: the same rows at the same place are the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

PAGE_BYTES = 4096

# Places in a line, in order, and the byte that may be repeated at each of them.
Fill = Sequence[tuple[int, bytes]]
FillOf = Callable[[bytes, int, int, int], Fill]


def laid(data: bytes, at: int, longest: int, fill_of: FillOf) -> bytes:
    """Whole lines of at most `longest` bytes, as they stand in a file from byte `at` on.

    `fill_of(data, start, stop, file_at)`: the places in the line there where a byte may be repeated, all as often; none
    if the line is to stay as it is. `file_at`: where in the file the line ends.
    """
    if longest > PAGE_BYTES:
        # There is no page that has one of these whole: they stand as they come.
        return data
    pieces: list[bytes | memoryview] = []
    view = memoryview(data)
    find, find_last = data.find, data.rfind
    begin = copied = filled = 0
    room = PAGE_BYTES - at % PAGE_BYTES
    while True:
        # The first line that ends so near to the page's end that the next one might not.
        stop = find(b"\n", begin + max(0, room - longest)) + 1
        if not stop:
            break
        lacking = room - (stop - begin)
        start = find_last(b"\n", begin, stop - 1) + 1 or begin
        fill = fill_of(data, start, stop, at + stop + filled) if lacking > 0 else ()
        if fill:
            filled += lacking
            for number, (place, byte) in enumerate(fill):
                n_bytes = -(-lacking // (len(fill) - number))
                pieces += view[copied:place], byte * n_bytes
                copied = place
                lacking -= n_bytes
        room = lacking % PAGE_BYTES or PAGE_BYTES
        begin = stop
    if not pieces:
        return data
    pieces.append(view[copied:])
    return b"".join(pieces)
