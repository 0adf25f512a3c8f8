"""A terminal that is closed, for commands that were started so that they outlive it."""

from __future__ import annotations

import signal


def hangup_is_ignored(number: int) -> bool:
    """True for SIGHUP where it was ignored when this process began, as nohup does it: so it stays."""
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN
