"""The one door to the terminal for everything but JSON: text of others is text there, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from dtopipe.model.shown import shown

# What is read by a program, mailed or kept has a line for each row, whatever is in it.
_NO_TERMINAL = 100_000


class Console(RichConsole):
    """Rich's, for which square brackets and colons in a name mean nothing; what steers a terminal is shown.

    A record, a recording or another machine may call a channel anything.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = _NO_TERMINAL

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As ever, after the last style was put on and before any is written."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment("\n".join(map(shown, segment.text.split("\n"))), segment.style)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """A line that goes once it is over; its words are plain."""
        return super().status(Text(status) if isinstance(status, str) else status, **options)
