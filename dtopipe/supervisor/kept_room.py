"""Room on a disk that is taken when a run begins, so that its end finds it on a disk that became full."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

_PREFIX = ".dtopipe-room-"
_PIECE = bytes(2**16)
# A small disk is for the data: what is kept of it is at most this part of what is free.
_MOST_OF_FREE = 8


class KeptRoom:
    """A file of `n_bytes` in `folder`, gone after `give_back`. A disk that has no room for it keeps none."""

    def __init__(self, folder: Path, n_bytes: int, run_id: str) -> None:
        self.folder = folder
        self._path = folder / f"{_PREFIX}{run_id}-{n_bytes}"
        try:
            n_bytes = min(n_bytes, shutil.disk_usage(folder).free // _MOST_OF_FREE)
            with self._path.open("xb", buffering=0) as file:
                _reserve(file.fileno(), n_bytes)
        except OSError:
            self.give_back()
            self.is_kept = False
        else:
            self.is_kept = True

    def give_back(self) -> None:
        """The room is free. Never raises; harmless twice."""
        self.is_kept = False
        with contextlib.suppress(OSError):
            self._path.unlink()


def clear_kept_rooms(folder: Path, run_id: str) -> None:
    """Of a run that was killed. Never raises."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{_PREFIX}{run_id}-*"):
            with contextlib.suppress(OSError):
                path.unlink()


def _reserve(fd: int, n_bytes: int) -> None:
    """Blocks of the disk, not only a length."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, max(1, n_bytes))
        return
    while n_bytes > 0:
        n_bytes -= os.write(fd, _PIECE[:n_bytes])
