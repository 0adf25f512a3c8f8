"""The end of a process without a word: nothing that it would still do is done."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

if sys.platform == "win32":
    import psutil

    # With os.kill every signal but those of the console ends a process at once there.
    KILL = signal.SIGTERM

    def kill_with_children(process: subprocess.Popen[bytes]) -> None:
        """Kill it, and what it has started. Raises OSError."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        process.kill()

else:
    KILL = signal.SIGKILL

    def kill_with_children(process: subprocess.Popen[bytes]) -> None:
        """Kill it, and what it has started; it was started in a session of its own. Raises OSError."""
        os.killpg(process.pid, signal.SIGKILL)
