"""HTML from values: every text is escaped where it is put in, so that no name of a record can be more than a text."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from dtopipe.model.facts import strict_json
from dtopipe.model.shown import shown

_EMPTY = ("meta", "path", "line", "rect", "circle", "polyline")


class Markup(str):
    """A text that is markup already: made here only."""

    __slots__ = ()


def escaped(text: object) -> Markup:
    """Any value as text; what would steer how a page is read is shown instead."""
    return Markup(html.escape(shown(str(text)), quote=True))


def tag(name: str, /, *content: object, **attributes: object) -> Markup:
    """An element. `content` that is no Markup is escaped, and so are attributes; one that is None is left out.

    `class_` is `class`, and underscores in names are hyphens.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escaped(value)}"')
    if name in _EMPTY:
        return Markup(f"<{' '.join(words)}{'>' if name == 'meta' else '/>'}")
    return Markup(f"<{' '.join(words)}>{joined(content)}</{name}>")


def plain(value: Any) -> str:
    """Any value of a record as text."""
    return value if isinstance(value, str) else strict_json(value)


def joined(content: Iterable[object]) -> Markup:
    """One after the other."""
    return Markup("".join(part if isinstance(part, Markup) else escaped(part) for part in content))


def lines(text: str) -> Markup:
    """A text of several lines, each escaped by itself."""
    return Markup("\n".join(escaped(line) for line in text.split("\n")))


def table(caption: str, headings: Iterable[object], rows: Iterable[Iterable[object]], numbers: int = 0) -> Markup:
    """A table with a caption and headings of its columns and rows; the last `numbers` columns stand to the right."""
    heads = list(headings)
    from_column = len(heads) - numbers
    body = []
    for row in rows:
        cells = []
        for number, cell in enumerate(row):
            style = "n" if number >= from_column else None
            cells.append(tag("th", cell, scope="row") if number == 0 else tag("td", cell, class_=style))
        body.append(tag("tr", *cells))
    head = [tag("th", each, scope="col", class_="n" if at >= from_column else None) for at, each in enumerate(heads)]
    inner = (tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag("div", tag("table", *inner), class_="wide", tabindex="0", role="region", aria_label=caption)
