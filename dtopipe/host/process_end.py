"""How a process ended, by its exit code, in words."""

from __future__ import annotations

import contextlib
import signal
import sys

# What the system says of those that it ended itself.
_BY_WINDOWS = {
    0xC0000005: "was ended by Windows: it touched memory that is not its own",
    0xC0000017: "was ended by Windows: there was no memory left",
    0xC000001D: "was ended by Windows: this processor does not know one of its instructions",
    0xC00000FD: "was ended by Windows: its stack was full",
    0xC0000135: "could not be started: a DLL was not found",
    0xC0000142: "could not be started: a DLL could not be set up, or the session was ending",
    0xC000013A: "was ended by Ctrl-C, or its console was closed",
    0xC0000374: "was ended by Windows: its memory was damaged",
    0xC0000409: "was ended by its own runtime, which had found damage",
}


def words_of_exit(code: int, *, of_windows: bool = sys.platform == "win32") -> str:
    """Such as `was killed by SIGKILL`; empty for 0. `of_windows`: the code is one of that system."""
    if not code:
        return ""
    return _on_windows(code) if of_windows else _on_posix(code)


def _on_posix(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _on_windows(code: int) -> str:
    """Of a process that is killed there the killer chooses the exit code: 1 of the Task Manager, taskkill and us."""
    if code == 1:
        return "was killed, or failed before it could say why (exit code 1)"
    if code in (9, 15):
        # As Python's os.kill and psutil have it.
        return f"was killed (exit code {code})"
    # Some callers have it with a sign.
    return _BY_WINDOWS.get(code & 0xFFFFFFFF, f"ended with exit code {code}")
