"""A device that only one run at a time can hold."""

from __future__ import annotations

import contextlib
import json
import os
import re
from hashlib import sha256
from pathlib import Path

from dtopipe.host.lock import FileLock, LockHeld
from dtopipe.host.runtime import ensure_only_ours
from dtopipe.host.runtime_folder import runtime_dir
from dtopipe.model.errors import BoardError


class ExclusiveDevice:
    """One named device of one type of board; the kernel gives it back if its holder dies."""

    def __init__(self, board: str, device: str) -> None:
        self._board = board
        self._device = device
        self._lock: FileLock | None = None

    def hold(self, task: str) -> None:
        """Take the device for that task. Raises BoardError, which names who holds it."""
        path = _lock_path(self._board, self._device)
        lock = FileLock(path)
        try:
            lock.acquire()
        except LockHeld:
            raise BoardError(
                self._board,
                f"device {self._device!r} is held by {_holder(path)}",
                "wait for that run to end, end it with `dtopipe stop`, or name another device in board.device",
            ) from None
        except OSError as error:
            raise BoardError(
                self._board,
                f"device {self._device!r} cannot be locked: {path}: {error.strerror}",
                "set DTOPIPE_RUNTIME_DIR to a folder of your own",
            ) from error
        self._lock = lock
        # Only for the message that another run gets: holding the device does not depend on it.
        with contextlib.suppress(OSError):
            path.write_text(json.dumps({"task": task, "pid": os.getpid()}), encoding="utf-8")

    def let_go(self) -> None:
        """Give the device back; harmless when it is not held. The lock's file stays, empty."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.path.write_bytes(b"")
            self._lock.release()
            self._lock = None


def _lock_path(board: str, device: str) -> Path:
    """The digest keeps names apart that are alike in plain letters. Raises UsageError."""
    folder = runtime_dir()
    plain = re.sub(r"[^A-Za-z0-9]+", "-", device)[:24]
    path = folder / f"board-{board}-{plain}-{sha256(device.encode()).hexdigest()[:8]}.lock"
    # A run that was begun here goes on, whatever else has come to lie here meanwhile.
    if not path.exists():
        ensure_only_ours(folder)
    return path


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"run {holder['task']!r} (process {holder['pid']})"
    return "another process"
