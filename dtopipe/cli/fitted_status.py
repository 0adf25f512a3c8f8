"""A status in as many lines as a terminal has: what goes well gives way to what does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from dtopipe.cli.live_table import status_table
from dtopipe.core.lifecycle import SinkState, condition_of, lacks

_MORE_AT = "dtopipe status shows all"
# Of a sink of which nothing need be said.
_IN_ORDER = (SinkState.RUNNING, SinkState.DONE, SinkState.DETACHED)


class FittedStatus:
    """The table of `status_table`; in a terminal that is too low, sinks without trouble are counted instead of shown.

    What a terminal cuts off at its lower end are the reasons.
    """

    def __init__(self, status: dict[str, Any], below: Text | None = None) -> None:
        """`below`: a line that stands there in any case."""
        self._status = status
        self._below = below
        self._quiet = [name for name, sink in status["sinks"].items() if _is_quiet(sink)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        """Rich calls it to draw."""
        height = options.size.height - (self._below is not None)
        lines, n_hidden = self._lines(console, options, 0), 0
        while len(lines) > height and n_hidden < len(self._quiet):
            # Each row that goes is a line at least, and what says so takes one.
            n_hidden = min(len(self._quiet), n_hidden + len(lines) - height + (not n_hidden))
            lines = self._lines(console, options, n_hidden)
        if len(lines) > height:
            kept = max(0, height - 1)
            said = Text(f"{len(lines) - kept} more lines: {_MORE_AT}", style="dim")
            lines = [*lines[:kept], *console.render_lines(said, options)[:1]]
        if self._below is not None:
            lines = [*lines, *console.render_lines(self._below, options, pad=False)[:1]]
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line

    def _lines(self, console: Console, options: ConsoleOptions, n_hidden: int) -> list[list[Segment]]:
        """What it is with so many sinks counted, the last ones first."""
        hidden = self._quiet[len(self._quiet) - n_hidden :]
        sinks = {name: sink for name, sink in self._status["sinks"].items() if name not in hidden}
        lines = console.render_lines(status_table({**self._status, "sinks": sinks}), options, pad=False)
        if hidden:
            lag_s = max(self._status["sinks"][name]["lag_s"] for name in hidden)
            what = "sink" if n_hidden == 1 else "sinks"
            said = Text(f"and {n_hidden} {what} without trouble, at most {lag_s:.1f} s behind: {_MORE_AT}", style="dim")
            lines += console.render_lines(said, options, pad=False)
        return lines


def _is_quiet(sink: dict[str, Any]) -> bool:
    return condition_of(sink) in _IN_ORDER and not sink.get("failure") and not lacks(sink)
