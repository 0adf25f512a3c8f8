"""Whoever changes the folder of an ended run is alone with it: one repair, or one change of its metadata, at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dtopipe.host.lock import FileLock, LockHeld
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import OutputLocked, SinkError

_LOCK = "repair.lock"


@contextlib.contextmanager
def alone_with(folder: RunFolder, timeout_s: float | None = None) -> Iterator[None]:
    """The folder can be written to, and nobody else changes it; another one is waited for so long. Raises SinkError."""
    path: Path = folder.path / "logs" / _LOCK
    lock = FileLock(path)
    try:
        path.parent.mkdir(exist_ok=True)
        lock.acquire() if timeout_s is None else lock.acquire(timeout_s)
    except LockHeld as error:
        raise OutputLocked(folder.path, "another repair is at work on this run", "wait for it to end") from error
    except OSError as error:
        message = f"the run folder cannot be written to: {error.strerror}"
        raise SinkError(folder.path, message, "copy it to where there is room, and repair the copy") from error
    try:
        yield
    finally:
        lock.release()
