"""How urgent a process is beside others."""

from __future__ import annotations

import contextlib
import sys

import psutil

_LATER = 10


def let_others_go_first() -> None:
    """Have the processor when nobody else wants it much, where the system can be told so."""
    with contextlib.suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            psutil.Process().nice(_LATER)
