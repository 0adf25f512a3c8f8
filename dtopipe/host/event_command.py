"""A program of the user's, told of one event on its standard input; whoever starts it never waits for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from dtopipe.host.killing import kill_with_children
from dtopipe.host.process_end import words_of_exit

# A session of its own: neither the terminal's Ctrl-C nor an end of our process group reaches it half-way.
_WINDOWS_FLAGS = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
# After it was killed.
_KILL_WAIT_S = 5.0


class EventCommand:
    """One call of a command, from its start to its end, in a thread of its own."""

    def __init__(self, argv: Sequence[str], folder: Path, document: str, log_path: Path, limit_s: float) -> None:
        """`folder`: where it is run; `document`: its input; after `limit_s` it is killed, with what it has started."""
        self._argv = list(argv)
        self._folder = folder
        self._document = document
        self._log_path = log_path
        self._limit_s = limit_s
        # What was wrong, in words; empty if nothing was. Set before `has_ended` is.
        self.trouble = ""
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="event command", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """True once it is over, however it went."""
        return self._ended.is_set()

    def _run(self) -> None:
        try:
            self.trouble = self._trouble()
        except Exception as error:  # a thread that ends silently would be waited for
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            self._ended.set()

    def _trouble(self) -> str:
        with _log(self._log_path) as log:
            try:
                process = subprocess.Popen(
                    self._argv, cwd=self._folder, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                    start_new_session=True, creationflags=_WINDOWS_FLAGS,
                )  # fmt: skip
            except OSError as error:
                return f"could not be started: {error.strerror or error}"
        try:
            process.communicate(self._document.encode(errors="replace"), timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            return f"did not end within {self._limit_s:g} s, and was killed"
        return words_of_exit(process.returncode)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it, and what it has started, at once."""
    with contextlib.suppress(OSError):
        kill_with_children(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_WAIT_S)
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _log(path: Path) -> BinaryIO:
    """Where its output goes; nowhere while the run folder is away or full."""
    try:
        return path.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")
