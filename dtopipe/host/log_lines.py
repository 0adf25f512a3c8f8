"""Lines of a log: what a name holds makes no line of its own, and steers no terminal that shows the file."""

from __future__ import annotations

import logging
import time

from dtopipe.model.shown import shown, shown_lines


class LogLines(logging.Formatter):
    """Times in UTC, one line a message; a traceback is indented below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line itself."""
        record.message = shown(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line, and what follows it."""
        return shown_lines(super().format(record))
