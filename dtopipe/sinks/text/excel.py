"""CSV as Excel, LibreOffice and the like open it by a double click: what its cells are, both ways.

A number is one in the spreadsheet's language only with that language's decimal sign, so that a file is for one. Which
one, the sink is told; nothing of it comes from the computer that writes.
"""

from __future__ import annotations

import csv
import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dtopipe.model.errors import SinkOptionError
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.text.locales import decimal_sign_of

# By which a spreadsheet knows UTF-8; a byte order there is none in that.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# By their names, which need no quotes on a command line.
_SIGNS = {"comma": ",", "point": ".", "semicolon": ";", "tab": "\t"}
# What the columns that are not channels are called, by their name in the other dialect.
TITLES = {
    "t_mono_ns": "time [s]",
    "t_utc": "UTC",
    "t_midpoint_mono_ns": "midpoint [s]",
    "requested_at": "requested (UTC)",
    "received_at": "received (UTC)",
    "latency_s": "latency [s]",
}
_NAMES = {title: name for name, title in TITLES.items()}
# With these a spreadsheet takes a text for a formula; one with an apostrophe before them gets another, so that taking
# one away gives back what was there.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_STATE_BEGINS = b"excel"
_ZERO = struct.Struct("<q")
_TITLE = re.compile(r"(.+) \[(.+)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ExcelForm:
    """`decimal`: the sign in front of a fraction; `delimiter`: what is between cells. One character each."""

    decimal: str = "."
    delimiter: str = ","

    @classmethod
    def of(cls, locale: str | None, decimal: str | None, delimiter: str | None) -> ExcelForm:
        """As options say it. Raises SinkOptionError where they cannot be, SinkDependencyError without babel."""
        if locale is not None and decimal is not None:
            raise SinkOptionError(None, "a locale has a decimal sign of its own", "take out locale, or decimal")
        sign = decimal_sign_of(locale) if locale is not None else _sign(decimal or ".")
        between = _sign(delimiter) if delimiter is not None else ";" if sign == "," else ","
        if sign not in (".", ","):
            raise SinkOptionError(None, f"the decimal sign is point or comma, not {sign!r}", "say decimal: comma")
        if between not in (",", ";", "\t"):
            what = f"the delimiter is comma, semicolon or tab, not {between!r}"
            raise SinkOptionError(None, what, "say delimiter: semicolon")
        if sign == between:
            what = f"{between!r} is the decimal sign and the delimiter: a number would be two cells"
            raise SinkOptionError(None, what, "say delimiter: semicolon, or delimiter: tab")
        return cls(sign, between)

    def line(self, cells: Sequence[str]) -> str:
        """The cells, in quotes where they must be."""
        text = io.StringIO()
        # Only characters of the line's end are sure to be quoted.
        csv.writer(text, delimiter=self.delimiter, lineterminator="\r\n").writerow(cells)
        return text.getvalue().removesuffix("\r\n")


@dataclass(frozen=True, slots=True)
class ExcelState:
    """What the commit record keeps for the reader: the signs, and the `t_mono_ns` of sample 0 once that is known."""

    form: ExcelForm
    zero_ns: int | None = None

    @classmethod
    def of(cls, packed: bytes) -> ExcelState | None:
        """As it was packed; None if it is none."""
        at = len(_STATE_BEGINS)
        signs = packed[at : at + 2].decode(errors="replace")
        if not packed.startswith(_STATE_BEGINS) or len(signs) < 2:
            return None
        rest = packed[at + 2 :]
        return cls(ExcelForm(signs[1], signs[0]), _ZERO.unpack(rest)[0] if len(rest) == _ZERO.size else None)

    def packed(self) -> bytes:
        """In a few bytes."""
        signs = f"{self.form.delimiter}{self.form.decimal}".encode()
        return _STATE_BEGINS + signs + (b"" if self.zero_ns is None else _ZERO.pack(self.zero_ns))


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """What was `guarded`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def titles_of(stream: Stream) -> list[str]:
    """The first line of an output of this stream: each channel with its unit."""
    if not stream.polled:
        return ["sample_index", TITLES["t_mono_ns"], TITLES["t_utc"], *map(_title, stream.channels)]
    found = []
    for column in reading_columns(stream.channels):
        unit = "" if column.channel is None else stream.channels[column.channel].unit
        name = column.name if column.channel is not None else TITLES.get(column.name, column.name)
        found.append(_titled(name, unit))
    return found


def columns_of(titles: Sequence[str]) -> list[Channel]:
    """The columns that have these titles, each with the name that it has in the other dialect, and with its unit."""
    return [Channel(_NAMES[title]) if title in _NAMES else channel_of(title) for title in titles]


def channel_of(title: str) -> Channel:
    """The channel that has this title; one whose name looks like a title has no unit of its own."""
    found = _TITLE.fullmatch(title)
    return Channel(title) if found is None else Channel(found[1], found[2])


def _title(channel: Channel) -> str:
    return _titled(channel.name, channel.unit)


def _titled(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _sign(given: str) -> str:
    return _SIGNS.get(given, given)
