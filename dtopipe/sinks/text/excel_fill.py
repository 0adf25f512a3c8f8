"""Where a row for a spreadsheet may be made longer: by zeros and spaces in numbers, a few in each of them.

A page ends after some four thousand bytes, and one row in each is made longer: this is a part of what rows cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dtopipe.sinks.text.excel import ExcelForm
from dtopipe.sinks.text.whole_lines import Fill

# LibreOffice takes a number of three hundred characters for a text.
_MOST_IN_A_CELL = 240
# With or without a fraction; what has an exponent, or is a date, is left as it is.
_NUMBER = re.compile(rb" *-?[0-9]+([.,][0-9]+)?")


class RowFill:
    """`texts_at`: the columns that have texts; without any, a row has the seconds, the date, and numbers."""

    def __init__(self, form: ExcelForm, texts_at: frozenset[int] = frozenset()) -> None:
        self._decimal, self._delimiter = form.decimal.encode(), form.delimiter.encode()
        self._texts_at = texts_at
        self._fraction = re.compile(re.escape(self._decimal) + rb"[0-9]+(?=[;,\t\n])")

    def places(self, data: bytes, start: int, stop: int, n_bytes: int, *, has_spaces: bool) -> Fill:
        """Enough of them for so many bytes in the row from `start` to `stop`, in order; none if there are not enough.

        The seconds come first, which always have a fraction. `has_spaces`: also in front of whole numbers.
        """
        n_places = -(-n_bytes // _MOST_IN_A_CELL)
        end_of_time = data.index(self._delimiter, data.index(self._decimal, start))
        found = [(end_of_time, b"0")]
        if n_places == 1:
            return found
        if has_spaces:
            found.insert(0, (start, b" "))
        at = end_of_time + 1
        if not self._texts_at:
            at = data.index(self._delimiter, at)
            while len(found) < n_places and (fraction := self._fraction.search(data, at, stop)):
                at = fraction.end()
                found.append((at, b"0"))
            at += 1
        if len(found) < n_places:
            found += self._numbers(data, start, at, stop, has_spaces=has_spaces)
        return found if len(found) >= n_places else []

    def _numbers(self, data: bytes, start: int, at: int, stop: int, *, has_spaces: bool) -> Iterator[tuple[int, bytes]]:
        """The places in the cells from `at` on, whose row begins at `start`; also a text may look like a number."""
        number = data.count(self._delimiter, start, at)
        # Which column it is that stands behind a quote is not looked for.
        quote = data.find(b'"', at, stop)
        stop = stop - 1 if quote < 0 else quote
        while at < stop:
            end = data.find(self._delimiter, at, stop)
            end = stop if end < 0 else end
            found = None if number in self._texts_at else _NUMBER.fullmatch(data, at, end)
            if found is not None and found[1]:
                yield end, b"0"
            elif found is not None and has_spaces:
                yield at, b" "
            at, number = end + 1, number + 1
