"""How much of what is tried at random is tried: a suite in minutes, or a night's work with the same assertions.

DTOPIPE_THOROUGH=10 python3 scripts/test.py tests/records       # ten times as many cases
"""

from __future__ import annotations

import os

_FACTOR = float(os.environ.get("DTOPIPE_THOROUGH", "1"))


def times(n: int) -> int:
    """How many cases are tried where a suite of minutes tries n."""
    return max(1, round(n * _FACTOR))
