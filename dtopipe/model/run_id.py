"""The ids that dtopipe gives to runs."""

from __future__ import annotations

import re

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_own_run_id(text: str) -> bool:
    """True for what `str(uuid.uuid4())` can give: plain enough for any file's name and any pattern."""
    return _UUID.fullmatch(text) is not None
