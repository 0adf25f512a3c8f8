"""Keys as they are pressed in the terminal that a command runs in, without ever waiting for one.

Nothing here can stop a run: a command in the background does not touch the terminal, which would stop it, and what the
terminal refuses means that there are no keys.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_MOST_BYTES = 1024
# () -> what was pressed since the last call, in order.
Keys = Callable[[], str]


@contextlib.contextmanager
def terminal_keys() -> Iterator[Keys | None]:
    """Keys while the block lasts, Ctrl-C being heard as ever; None where the input is no terminal."""
    try:
        is_terminal = sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        # It is closed.
        is_terminal = False
    # A program may have its run in another thread, and its own use for the terminal.
    if not is_terminal or threading.current_thread() is not threading.main_thread():
        yield None
    elif sys.platform == "win32":
        yield _windows_keys
    else:
        with _unix_keys(sys.stdin.fileno()) as keys:
            yield keys


if sys.platform == "win32":

    def _windows_keys() -> str:
        import msvcrt

        found = ""
        while msvcrt.kbhit() and len(found) < _MOST_BYTES:
            found += msvcrt.getwch()
        return found

else:
    import select
    import termios

    @contextlib.contextmanager
    def _unix_keys(fd: int) -> Iterator[Keys]:
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        # Whoever is sent to the background between a look and a read is refused, and not stopped.
        before = signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        changed: list[Any] = []

        def pressed() -> str:
            try:
                if not _is_in_front(fd):
                    return ""
                _ensure_at_once(fd, changed)
                if not select.select([fd], [], [], 0)[0]:
                    return ""
                return decoder.decode(os.read(fd, _MOST_BYTES))
            except (OSError, ValueError, termios.error):
                # It is closed, or somebody else's by now.
                return ""

        try:
            yield pressed
        finally:
            with contextlib.suppress(OSError, ValueError, termios.error):
                if changed and _is_in_front(fd):
                    termios.tcsetattr(fd, termios.TCSADRAIN, changed[0])
            signal.signal(signal.SIGTTIN, before)

    def _is_in_front(fd: int) -> bool:
        """True if the terminal is ours: a shell gives it to one command at a time."""
        return os.tcgetpgrp(fd) == os.getpgrp()

    def _ensure_at_once(fd: int, changed: list[Any]) -> None:
        """Keys come at once, and are not written where they are pressed; how it was is kept in `changed`.

        It is looked at each time: a shell sets it back for whom it stops and lets go on.
        """
        now = termios.tcgetattr(fd)
        if not now[3] & (termios.ICANON | termios.ECHO):
            return
        if not changed:
            changed.append(list(now))
        new = list(now)
        new[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(fd, termios.TCSANOW, new)
