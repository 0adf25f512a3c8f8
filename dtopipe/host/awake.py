"""Keeps this machine from going to sleep, where it can be asked to; where not, that is no error.

Each system has its own way: on Linux logind is asked by `systemd-inhibit`, on macOS the power manager by `caffeinate`,
both for as long as a process of ours lives, which ends with us, however we end; on Windows a thread asks for it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

# What runs once it is granted: it says so, and ends with the pipe from us.
_HELD = "held"
_HOLDER = ("sh", "-c", f"echo {_HELD}; exec cat")
_GOODBYE_S = 1.0
# As Windows has them: until further notice, the system is needed.
_CONTINUOUS, _SYSTEM_REQUIRED = 0x80000000, 0x00000001
_LONGEST_WORDS = 300


class Awake:
    """`begin`, look at what came of it, `end`. None of them waits for the system, and none of them raises."""

    def __init__(self, why: str) -> None:
        """`why`: what people are told who ask the system what keeps it awake."""
        self._why = why
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_ending = threading.Event()
        # By what it is kept awake; empty until that is known, and where it is not.
        self.by = ""
        # Why it is not; empty until that is known, and where it is.
        self.why_not = ""

    def begin(self) -> None:
        """Ask the system, in a thread of its own: it may take its time to answer."""
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._ask, name="awake", daemon=True).start()

    def end(self) -> None:
        """It may sleep again. Harmless twice."""
        with self._lock:
            self._is_ending.set()
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _ask(self) -> None:
        if sys.platform == "win32":
            self._ask_windows()
        else:
            self._ask_programs()

    def _ask_programs(self) -> None:
        reasons = []
        for by, command in _ways(self._why):
            reason = self._held_by(command)
            if reason is None:
                self.by = by
                return
            reasons.append(f"{by}: {reason}")
        if not self._is_ending.is_set():
            self.why_not = "; ".join(reasons) or "this system has no way that is known"

    def _held_by(self, command: list[str]) -> str | None:
        """None once it is granted, else why not."""
        if shutil.which(command[0]) is None:
            return "is not installed"
        with self._lock:
            if self._is_ending.is_set():
                return "the run is over"
            try:
                # Ctrl-C, which the whole terminal hears, does not end it before the run.
                process = self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    errors="replace", start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                return str(error.strerror)
        said = ""
        # Who ends it meanwhile closes what is read here.
        with contextlib.suppress(ValueError):
            said = process.stdout.readline().strip() if process.stdout else ""
        if said == _HELD:
            return None
        with self._lock:
            is_ours, self._process = self._process is process, None
        if is_ours:
            _end(process)
        return said[:_LONGEST_WORDS] or "it was refused"

    def _ask_windows(self) -> None:
        if sys.platform == "win32":
            import ctypes

            ask = ctypes.windll.kernel32.SetThreadExecutionState
            if ask(_CONTINUOUS | _SYSTEM_REQUIRED):
                self.by = "SetThreadExecutionState"
                self._is_ending.wait()
                ask(_CONTINUOUS)
            else:
                self.why_not = "SetThreadExecutionState was refused"


def _ways(why: str) -> Iterator[tuple[str, list[str]]]:
    """(what it is called, how it is asked), the best first."""
    if sys.platform == "darwin":
        yield "caffeinate", ["caffeinate", "-i", "-s", *_HOLDER]
    else:
        # Who has no seat at the machine may ask for less: that it does not fall asleep by itself.
        for what in ("sleep:idle", "idle"):
            command = ["systemd-inhibit", f"--what={what}", "--who=dtopipe", f"--why={why}", "--mode=block", *_HOLDER]
            yield f"systemd-inhibit ({what})", command


def _end(process: subprocess.Popen[str]) -> None:
    """Close its pipe, by which it ends; it is not waited for long."""
    with contextlib.suppress(OSError):
        if process.stdin:
            process.stdin.close()
    try:
        process.wait(_GOODBYE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
