"""A run as people watch it, in `up` and in `top`: its status, newest values, headroom and newest event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from dtopipe.cli.channel_lines import ChannelLines
from dtopipe.cli.fitted_status import FittedStatus
from dtopipe.cli.headroom_lines import headroom_lines
from dtopipe.cli.live_table import status_table
from dtopipe.model.newest import NewestValues
from dtopipe.model.shown import shown

# Fewer lines of a table of channels are a title without a channel.
_LEAST_CHANNEL_LINES = 6


class LiveView:
    """The whole status first; what is left of the terminal's lines is for headroom, event and channels."""

    def __init__(
        self,
        status: dict[str, Any],
        channels: ChannelLines,
        values: NewestValues | None = None,
        event: Mapping[str, Any] | None = None,
        below: Text | None = None,
    ) -> None:
        """`below`: a line that stands there in any case."""
        self._status = status
        self._channels = channels
        self._values = values
        self._event = event
        self._below = below

    def whole(self) -> Iterator[RenderableType]:
        """All of it, for what is no terminal."""
        yield status_table(self._status)
        yield from self._short_lines()
        if (table := self._channels.table(self._values)) is not None:
            yield table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        """Rich calls it to draw."""
        lines = console.render_lines(status_table(self._status), options, pad=False)
        room = options.size.height - len(lines) - (self._below is not None)
        if room < 0:
            yield FittedStatus(self._status, self._below)
            return
        short = [line for each in self._short_lines() for line in console.render_lines(each, options, pad=False)][:room]
        lines += [*short, *self._channel_lines(console, options, room - len(short))]
        if self._below is not None:
            lines += console.render_lines(self._below, options, pad=False)[:1]
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line

    def _short_lines(self) -> Iterator[Text]:
        yield from headroom_lines(self._status)
        if self._event:
            yield Text(shown(_event_words(self._event)), "dim")

    def _channel_lines(self, console: Console, options: ConsoleOptions, room: int) -> list[list[Segment]]:
        """As many channels as there is room for, and how many more there are."""
        most = len(self._values.columns) if self._values is not None else 0
        shown_channels = most
        while shown_channels and room >= _LEAST_CHANNEL_LINES:
            table = self._channels.table(self._values, shown_channels)
            lines = [] if table is None else console.render_lines(table, options, pad=False)
            if shown_channels < most:
                more = Text(f"and {most - shown_channels} more channels: dtopipe top --json", "dim")
                lines += console.render_lines(more, options, pad=False)
            if len(lines) <= room:
                return lines
            shown_channels = max(0, shown_channels - max(1, (len(lines) - room) // 2))
        return []


def _event_words(event: Mapping[str, Any]) -> str:
    """`newest event: 2026-11-22T23:41:02 table restarted`."""
    when = str(event.get("t_utc", ""))[:19]
    return " ".join(filter(None, ("newest event:", when, str(event.get("process", "")), str(event.get("event", "")))))
