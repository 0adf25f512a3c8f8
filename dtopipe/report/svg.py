"""A chart as SVG, without a script: axes, envelopes, lines and shades, in the units of its values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dtopipe.report.markup import Markup, tag

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 960.0, 84.0, 12.0, 20.0, 34.0
_TICKS = 6
# About as wide as one of the page's letters is at 12 pixels.
_LETTER = 6.6
# Less than that cannot be seen.
_THIN = 0.7


class Chart:
    """Things are drawn in the order in which they are put in, and clipped by nothing: they keep to the axes.

    `x`, `y`: from value to its place; `height`: of the whole in pixels.
    """

    def __init__(self, name: str, title: str, height: float, x: tuple[float, float], y: tuple[float, float]) -> None:
        """`name`: told apart from every other chart of the page; `x`, `y`: what the axes reach from and to."""
        self._name, self._title = name, title
        self._height = height
        self._x, self._y = _widened(*x), _widened(*y)
        self._parts: list[Markup] = []

    def x(self, value: float) -> float:
        """Pixels from the left, within the axes."""
        return _placed(value, self._x, LEFT, WIDTH - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top, within the axes."""
        return _placed(value, self._y, self._height - BOTTOM, TOP)

    def add(self, *parts: Markup) -> None:
        """Put something in."""
        self._parts += parts

    def axes(self, x_title: str, *, with_values: bool) -> None:
        """Lines and numbers of both axes; without values the vertical one has none."""
        bottom = self._height - BOTTOM
        for value, text in ticks(*self._x):
            at = self.x(value)
            self.add(_line(at, TOP, at, bottom, "grid"), _text(at, bottom + 14, text, "middle"))
        for value, text in ticks(*self._y) if with_values else ():
            at = self.y(value)
            self.add(_line(LEFT, at, WIDTH - RIGHT, at, "grid"), _text(LEFT - 6, at + 4, text, "end"))
        self.add(_line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"), _line(LEFT, TOP, LEFT, bottom, "axis"))
        self.add(_text((LEFT + WIDTH - RIGHT) / 2, self._height - 4, x_title, "middle"))

    def shade(self, spans: Iterable[tuple[float, float]], style: str, top: float = TOP, height: float = 0.0) -> None:
        """Stretches of the horizontal axis; what is narrower than a pixel is one wide, and what meets is one."""
        height = height or self._height - BOTTOM - top
        for left, right in _merged((self.x(start), self.x(stop)) for start, stop in spans):
            self.add(tag("rect", x=_n(left), y=_n(top), width=_n(right - left), height=_n(height), class_=style))

    def level(self, value: float, text: str) -> None:
        """A line across, with what it is."""
        at = self.y(value)
        self.add(
            _line(LEFT, at, WIDTH - RIGHT, at, "limit"), _text(WIDTH - RIGHT - 4, at - 4, text, "end", "limit-text")
        )

    def moments(self, moments: Iterable[tuple[float, str, str]]) -> None:
        """Lines upwards: where, what it is, and in which style; words that would cover earlier ones are left out."""
        taken: list[tuple[float, float]] = []
        for value, text, style in moments:
            at = self.x(value)
            self.add(_line(at, TOP, at, self._height - BOTTOM, style))
            half = _LETTER * len(text) / 2
            middle = min(max(at, half), WIDTH - half)
            if text and all(middle + half < left or right < middle - half for left, right in taken):
                self.add(_text(middle, TOP - 6, text, "middle", f"{style}-text"))
                taken.append((middle - half - _LETTER, middle + half + _LETTER))

    def label(self, at: float, text: str) -> None:
        """A name beside the vertical axis, so many pixels from the top."""
        self.add(_text(LEFT - 6, at, text, "end"))

    def envelope(self, x: NDArray[np.float64], lowest: NDArray[np.float64], highest: NDArray[np.float64]) -> None:
        """The area between lowest and highest value, a line where they are one; it ends where there is none (NaN)."""
        there = np.flatnonzero(np.isfinite(lowest) & np.isfinite(highest))
        if not len(there):
            return
        words = []
        for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
            at = [self.x(value) for value in x[run]]
            low, high = [self.y(value) for value in lowest[run]], [self.y(value) for value in highest[run]]
            words.append(_outline(at, low, high))
        self.add(tag("path", d="".join(words), class_="trace"))

    def line(self, x: Sequence[float], y: Sequence[float], style: str = "line") -> None:
        """A line through points."""
        if len(x):
            points = [(self.x(a), self.y(b)) for a, b in zip(x, y, strict=True)]
            self.add(tag("path", d=_moves(points) + ("h0.01" if len(points) == 1 else ""), class_=style))

    def drawn(self, description: str) -> Markup:
        """The whole, with title and description for who does not see it."""
        title, words = f"{self._name}-title", f"{self._name}-description"
        picture = tag(
            "svg",
            tag("title", self._title, id=title),
            tag("desc", description, id=words),
            *self._parts,
            role="img",
            aria_labelledby=f"{title} {words}",
            viewBox=f"0 0 {_n(WIDTH)} {_n(self._height)}",
            xmlns="http://www.w3.org/2000/svg",
        )
        # On a telephone it is wider than the page, and is moved by hand.
        return tag("div", picture, class_="wide", tabindex="0", role="region", aria_label=self._title)


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers from low to high, a few of them, each as a text by which it is told from the next."""
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * factor for factor in (1, 2, 5) if power * factor >= raw), power * 10)
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    greatest, exponent = max(abs(low), abs(high)), math.floor(math.log10(step))
    if step < 1e-4 or greatest >= 1e6:
        # As many digits as the step needs beside the greatest number.
        digits = min(15, max(0, math.floor(math.log10(greatest)) - exponent))
        return [(step * number, f"{step * number:.{digits}e}" if number else "0") for number in numbers]
    return [(step * number, f"{step * number:.{max(0, -exponent)}f}") for number in numbers]


def _widened(low: float, high: float) -> tuple[float, float]:
    """Both ends apart, so that something can be between them."""
    if high - low > max(abs(low), abs(high), 1e-300) * 1e-12:
        return low, high
    around = abs(low) * 0.01 or 1.0
    return low - around, high + around


def _placed(value: float, axis: tuple[float, float], start: float, stop: float) -> float:
    part = (min(max(value, axis[0]), axis[1]) - axis[0]) / (axis[1] - axis[0])
    return start + part * (stop - start)


def _merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for left, right in sorted(spans):
        right = max(right, left + 1)
        if found and left <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    return found


def _outline(x: list[float], low: list[float], high: list[float]) -> str:
    # Pixels count downwards: the lowest value has the greatest.
    if all(a - b < _THIN for a, b in zip(low, high, strict=True)):
        return _moves(list(zip(x, high, strict=True))) + ("h0.01" if len(x) == 1 else "")
    there, back = list(zip(x, high, strict=True)), list(zip(x, low, strict=True))
    return _moves([*there, *reversed(back)]) + "Z"


def _moves(points: Sequence[tuple[float, float]]) -> str:
    words = [f"{_n(x)} {_n(y)}" for x, y in points]
    return f"M{words[0]}" + (f"L{' '.join(words[1:])}" if len(words) > 1 else "")


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return tag("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_=style)


def _text(x: float, y: float, text: str, anchor: str, style: str | None = None) -> Markup:
    return tag("text", text, x=_n(x), y=_n(y), text_anchor=anchor, class_=style)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
