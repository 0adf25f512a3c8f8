"""What a command says while it works, whether or not anybody looks on."""

from __future__ import annotations

import contextlib
import os
from typing import IO, Any

from dtopipe.cli.console import Console


class _ForNobody:
    """A file whose other end may go: what is written from then on goes nowhere."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """As ever; a terminal that was closed says input/output error."""
        try:
            return self._file.write(text)
        except OSError:
            self.go_nowhere()
            return len(text)

    def flush(self) -> None:
        """As ever."""
        try:
            self._file.flush()
        except OSError:
            self.go_nowhere()

    def go_nowhere(self) -> None:
        """Nothing that is written there fails any more, at the end of the process neither."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """All else is the file's own."""
        return getattr(self._file, name)


class PipeSafeConsole(Console):
    """A console for commands that go on unread: a closed pipe ends what is said, not what is done."""

    @property
    def file(self) -> Any:
        """Where it is written, also by a live table, which writes behind `print`."""
        return _ForNobody(super().file)

    @file.setter
    def file(self, file: IO[str]) -> None:
        Console.file.fset(self, file)  # type: ignore[attr-defined]

    def on_broken_pipe(self) -> None:
        """Be silent from now on, and let nothing else that is written there fail; rich would end the process."""
        self.quiet = True
        self.file.go_nowhere()

    def print(self, *objects: Any, **options: Any) -> None:
        """As ever; what cannot be written is not said."""
        # Windows has another error for a pipe that is closed.
        with contextlib.suppress(OSError):
            super().print(*objects, **options)
