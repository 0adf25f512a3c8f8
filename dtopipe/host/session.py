"""Whether what runs here ends with its user's login session."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dtopipe.host.identity import who_is_here

_LINGERING = Path("/var/lib/systemd/linger")
_HAS_LOGIND = sys.platform.startswith("linux")
_CGROUP = Path("/proc/self/cgroup")


def end_of_session_warning() -> str:
    """What the end of the session may do to a run in the background, and what keeps it from that; empty if nothing."""
    user = who_is_here().user
    if not _HAS_LOGIND or not user or not _is_in_a_session() or (_LINGERING / user).exists():
        return ""
    return (
        "the end of your last login session may end this run, where logind ends what its users leave behind\n"
        f"    let it linger: loginctl enable-linger {user}"
    )


def _is_in_a_session() -> bool:
    """True for what a login has started; services and cron jobs have no folder and no scope of a session."""
    if os.environ.get("XDG_RUNTIME_DIR"):
        return True
    try:
        group = _CGROUP.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "/user.slice/" in group
