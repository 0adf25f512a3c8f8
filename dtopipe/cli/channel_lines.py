"""The newest value of every channel, with a sparkline of those before."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from rich.text import Text

from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.model.newest import NewestValues
from dtopipe.model.shown import shown

_BARS = "▁▂▃▄▅▆▇█"
_MOST = 20


class ChannelLines:
    """Remembers as many values of each channel as a sparkline shows: the one at each look."""

    def __init__(self) -> None:
        self._before: dict[str, deque[float | None]] = {}

    def see(self, values: NewestValues | None) -> None:
        """Somebody has looked."""
        for each in () if values is None else values.columns:
            self._before.setdefault(each.name, deque(maxlen=_MOST)).append(each.value)

    def table(self, values: NewestValues | None, most: int | None = None) -> WholeTable | None:
        """A line a channel, of the first `most` ones; None before the first block."""
        if values is None:
            return None
        table = WholeTable()
        table.add_column("channel", keeps=Keeps.WORDS)
        table.add_numbers("value")
        table.add_column("unit")
        table.add_numbers("lowest", "highest of a block")
        table.add_column("before", is_spare=True)
        for each in values.columns[:most]:
            value = Text(shown(each.trouble or "null"), "red") if each.value is None else Text(number_text(each.value))
            lowest, highest = number_text(each.lowest), number_text(each.highest)
            spark = sparkline(self._before.get(each.name, ()))
            table.add_row(shown(each.name), value, shown(each.unit), lowest, highest, spark)
        return table


def sparkline(values: Sequence[float | None]) -> str:
    """A bar a value between the lowest and the highest of them; a space where there is none."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)

    def bar(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return " "
        # Halves first: the difference of two large numbers may be none.
        width = high / 2 - low / 2
        part = (value / 2 - low / 2) / width if width > 0 else 0.5
        return _BARS[min(len(_BARS) - 1, int(part * len(_BARS)))]

    return "".join(map(bar, values))


def number_text(value: float | None) -> str:
    """Six digits of it; empty where there is none."""
    return "" if value is None else f"{value:.6g}"
