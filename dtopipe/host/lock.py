"""An OS lock on an open file: held by one process, released by the kernel when it dies.

Liveness and ownership of outputs both rest on it. No library: the well-kept ones lock a whole file that they open
themselves, and a lock on byte 0 keeps everybody else from reading the file on Windows.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from pathlib import Path
from types import TracebackType

from dtopipe.host.system_errors import patiently

# Windows locks are mandatory: this byte is far past the end of every file that is locked here, and no further than a
# file of any file system there goes.
_LOCKED_BYTE = 2**43
# Whoever only looks has a lock for an instant, which must not be taken for another owner.
_LOOK_PATIENCE_S = 0.25
_PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class LockHeld(OSError):
    """Another process (or another handle of this one) holds the lock."""


class FileLock:
    """An exclusive lock on `path`, created if need be, from `acquire()` to `release()` or the process's death."""

    def __init__(self, path: Path, *, for_everybody: bool = False) -> None:
        """A file that is made has the mode that the umask asks for; `for_everybody`: every user may lock it."""
        self.path = path
        self._for_everybody = for_everybody
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """True between `acquire()` and `release()`."""
        return self._fd is not None

    def acquire(self, timeout_s: float = _LOOK_PATIENCE_S) -> None:
        """Take the lock, trying for `timeout_s`. Raises LockHeld, or OSError if the path is bad."""
        deadline = time.monotonic() + timeout_s
        fd = self._opened()
        try:
            while not _try_lock(fd):
                if time.monotonic() >= deadline:
                    raise LockHeld(f"{self.path} is locked by another process")
                time.sleep(0.01)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _opened(self) -> int:
        try:
            # First without O_CREAT, which Linux refuses for a file of others in a folder like /tmp.
            return patiently(lambda: os.open(self.path, os.O_RDWR | _PLAIN))
        except FileNotFoundError:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | _PLAIN, 0o666)
        if self._for_everybody:
            with contextlib.suppress(OSError):
                self.path.chmod(0o666)
        return fd

    def release(self) -> None:
        """Give the lock back; harmless when it is not held. The file stays."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def is_in_place(self) -> bool:
        """True while the file that is locked is the one of this path, and nobody has taken it away."""
        if self._fd is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.lstat())
        except OSError:
            return False

    def write(self, data: bytes) -> None:
        """Replace what the locked file says. Raises OSError."""
        if self._fd is not None:
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, data)
            os.ftruncate(self._fd, len(data))

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """True if some process holds the lock on `path`; false where there is no such file.

    Makes and changes nothing, and is not in the way of others who look. Raises OSError if the file cannot be opened.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        fd = patiently(lambda: os.open(path, os.O_RDONLY | _PLAIN | getattr(os, "O_NONBLOCK", 0)))
    except FileNotFoundError:
        return False
    try:
        return not _try_shared_lock(fd)
    finally:
        os.close(fd)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            # All else, such as a share that knows no locks, is no other process.
            return False
        return True

    # There is none; whoever takes the lock waits for an instant.
    _try_shared_lock = _try_lock

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        return _try_flock(fd, fcntl.LOCK_EX)

    def _try_shared_lock(fd: int) -> bool:
        return _try_flock(fd, fcntl.LOCK_SH)

    def _try_flock(fd: int, kind: int) -> bool:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
