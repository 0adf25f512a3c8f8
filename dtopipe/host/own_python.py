"""How this program starts itself again, in a process whose number is the one that it has been started with.

In a virtual environment on Windows `python.exe` is a launcher: it starts the real one, and stays. Whoever starts that
knows the launcher's number, and would look at, count and stop the wrong process. The real one is started here, and told
by the launcher's own variable, which it takes out of its environment, where it belongs; `multiprocessing` does so too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_REAL = str(getattr(sys, "_base_executable", None) or sys.executable)
_IS_LAUNCHED = sys.platform == "win32" and os.path.normcase(_REAL) != os.path.normcase(sys.executable)


def own_command(module: str, *arguments: str) -> list[str]:
    """What runs a module of ours in a Python of its own; with `own_environment` only.

    Not from the current folder: a `signal.py` there is the user's own.
    """
    return [_REAL if _IS_LAUNCHED else sys.executable, "-P", "-m", module, *arguments]


def own_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process for that command, with `changes`."""
    belongs = {"__PYVENV_LAUNCHER__": sys.executable} if _IS_LAUNCHED else {}
    return {**os.environ, **belongs, **(changes or {})}
