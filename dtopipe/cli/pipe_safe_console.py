"""What a command says while it works, whether or not anybody looks on."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from dtopipe.cli.console import Console


class PipeSafeConsole(Console):
    """A console for commands that go on unread: a closed pipe ends what is said, not what is done."""

    def on_broken_pipe(self) -> None:
        """Be silent from now on, and let nothing else that is written there fail; rich would end the process."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)

    def print(self, *objects: Any, **options: Any) -> None:
        """As ever; what cannot be written is not said."""
        # Windows has another error for a pipe that is closed.
        with contextlib.suppress(OSError):
            super().print(*objects, **options)
