"""How many files and sockets a process may have open at a time: too few end libraries in the middle, not in words."""

from __future__ import annotations

import contextlib
import sys

from dtopipe.model.errors import UsageError

# Measured, with a third more: a command that speaks with a run, and what a run's own process has for itself and for
# each sink. Programs that follow a run take more of them while it goes on.
OF_A_COMMAND = 32
_OF_A_RUN, _OF_A_SINK = 48, 4
_ENOUGH = 1024


def of_a_run(n_sinks: int) -> int:
    """What a run with so many sinks takes."""
    return _OF_A_RUN + _OF_A_SINK * n_sinks


if sys.platform == "win32":

    def ensure_open_files(needed: int) -> None:
        """A process may have as many as there is memory for."""

else:
    import resource

    def ensure_open_files(needed: int) -> None:
        """Raise the limit of this process, and of those that it starts, as far as it may. Raises UsageError."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = max(needed, _ENOUGH)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        if hard != resource.RLIM_INFINITY:
            wanted = min(hard, wanted)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        if soft < needed:
            raise UsageError(
                f"this process may have {soft} files open at a time, and this takes {needed}",
                "raise the limit: ulimit -n 1024",
            )
