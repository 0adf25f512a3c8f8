"""Tables of which nothing is cut: numbers and names stand whole in any terminal, the rest goes on below itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

# In a column that is narrower, sentences and paths are worse to read than below the row.
_LEAST_OF_TEXT = 20


class Keeps(StrEnum):
    """What of a column may never be parted: a cell, a word, or nothing but letters."""

    CELLS = "cells"
    WORDS = "words"
    LETTERS = "letters"


@dataclass(frozen=True, slots=True)
class _Column:
    """`is_spare`: left out where there is no room, for what it says stands elsewhere too."""

    title: str
    keeps: Keeps
    justify: Literal["left", "right"]
    is_spare: bool


class WholeTable:
    """A table where it fits, with fewer columns where some are spare, else each row as lines of `title value`."""

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._columns: list[_Column] = []
        self._rows: list[list[Text]] = []

    def add_column(
        self,
        title: str,
        *,
        keeps: Keeps = Keeps.CELLS,
        justify: Literal["left", "right"] = "left",
        is_spare: bool = False,
    ) -> None:
        """One more column, before any row."""
        self._columns.append(_Column(title, keeps, justify, is_spare))

    def add_numbers(self, *titles: str) -> None:
        """Columns of numbers, which are never parted."""
        for title in titles:
            self.add_column(title, justify="right")

    def add_row(self, *cells: str | Text) -> None:
        """One more row, with a cell for each column."""
        if len(cells) != len(self._columns):
            raise ValueError(f"{len(cells)} cells for {len(self._columns)} columns")
        self._rows.append([cell if isinstance(cell, Text) else Text(cell) for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Rich calls it to draw."""
        everything = range(len(self._columns))
        without_spare = [number for number in everything if not self._columns[number].is_spare]
        for chosen in (everything, without_spare):
            table = self._fitted(console, options, chosen)
            if table is not None:
                yield table
                return
        yield from self._lines()

    def _fitted(self, console: Console, options: ConsoleOptions, chosen: Sequence[int]) -> Table | None:
        """The table of these columns in the width that there is; None if something would be cut."""
        widths = [self._widths(console, options, number) for number in chosen]
        natural = sum(most for _, most in widths)
        table = self._table(chosen)
        around = Measurement.get(console, options.update_width(natural + 1000), table).maximum - natural
        shared = _shared(widths, options.max_width - around)
        if shared is None:
            return None
        for column, width in zip(table.columns, shared, strict=True):
            column.width = width
        return table

    def _table(self, chosen: Sequence[int]) -> Table:
        table = Table(title=self._title or None, title_justify="left", box=SIMPLE_HEAD, header_style="bold")
        for number in chosen:
            column = self._columns[number]
            table.add_column(column.title, justify=column.justify, overflow="fold")
        for row in self._rows:
            table.add_row(*(row[number] for number in chosen))
        return table

    def _widths(self, console: Console, options: ConsoleOptions, number: int) -> tuple[int, int]:
        """The least width of a column in which nothing is parted that must not be, and the most that it can use."""
        column = self._columns[number]
        cells = [Text(column.title), *(row[number] for row in self._rows)]
        measured = [Measurement.get(console, options.update_width(10_000), cell) for cell in cells]
        most = max(each.maximum for each in measured)
        words = max(each.minimum for each in measured)
        least = {Keeps.CELLS: most, Keeps.WORDS: words, Keeps.LETTERS: min(most, _LEAST_OF_TEXT)}[column.keeps]
        return least, most

    def _lines(self) -> Iterator[RenderableType]:
        """Each row by itself: what it is about, and the rest indented below."""
        if self._title:
            yield Text(self._title, style="italic")
        for first, *rest in self._rows:
            yield first
            titled = [
                Text.assemble((f"{column.title} ", "dim"), cell)
                for column, cell in zip(self._columns[1:], rest, strict=True)
                if cell.plain
            ]
            yield Padding(Text(", ").join(titled), (0, 0, 0, 2))


def _shared(widths: Sequence[tuple[int, int]], room: int) -> list[int] | None:
    """Widths that fit into `room`, the widest columns giving way first; None where all that give way is too little."""
    found = [most for _, most in widths]
    excess = sum(found) - room
    while excess > 0:
        wider = [number for number, (least, _) in enumerate(widths) if found[number] > least]
        if not wider:
            return None
        found[max(wider, key=found.__getitem__)] -= 1
        excess -= 1
    return found
