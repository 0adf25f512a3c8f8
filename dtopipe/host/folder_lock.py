"""A shared lock on a folder, which keeps systemd-tmpfiles from clearing it away when it gets old."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


class FolderLock:
    """Held from the beginning, where there are such locks, until `release()` or the process's death. Never raises."""

    def __init__(self, folder: Path) -> None:
        self._fd: int | None = None
        if sys.platform != "win32":
            import fcntl

            with contextlib.suppress(OSError):
                self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def release(self) -> None:
        """Give it back; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
