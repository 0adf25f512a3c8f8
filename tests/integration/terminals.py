"""Commands in terminals, and somebody who looks and types."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from system import kill

PATIENCE_S = 60.0
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command in a pseudo-terminal of its own, and somebody who looks and types."""

    def __init__(self, *words: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(folder)
            environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **settings}
            os.execve(sys.executable, [sys.executable, *words], environment)
        self._written = b""
        self._at = 0
        self.code: int | None = None

    @property
    def seen(self) -> str:
        """What was written since the last one that was waited for, without colours and movements."""
        return _STEERING.sub("", self._written.decode(errors="ignore"))[self._at :]

    def wait_to_see(self, pattern: str) -> None:
        """Until it was written, since the last call."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, self.seen)) is None:
            assert time.monotonic() < deadline, f"{pattern!r} was not seen: {self.seen[-2000:]}"
            assert self._read(), f"it ended without {pattern!r}: {self.seen[-2000:]}"
        self._at += found.end()

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def end(self) -> int:
        """The exit code."""
        while self._read():
            pass
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def close(self) -> None:
        if self.code is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                kill(self.pid)
            os.waitpid(self.pid, 0)
        self.hang_up()

    def hang_up(self) -> None:
        """The window is closed. Harmless twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _read(self) -> bool:
        if not select.select([self.fd], [], [], 1.0)[0]:
            return True
        try:
            read = os.read(self.fd, 2**16)
        except OSError:
            # The other end is closed.
            read = b""
        self._written += read
        return bool(read)


@contextlib.contextmanager
def a_terminal(*words: str, folder: Path, **settings: str) -> Iterator[Terminal]:
    """`settings`: of its environment besides."""
    terminal = Terminal(*words, folder=folder, settings=settings)
    try:
        yield terminal
    finally:
        terminal.close()
