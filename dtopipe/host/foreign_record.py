"""Other programs keep a `run.json` in folders below `runs/` too: theirs is told from a damaged one of ours."""

from __future__ import annotations

import re
from pathlib import Path

from dtopipe.host.system_errors import patiently
from dtopipe.model.facts import parsed

# As a run's folder is named; a user may have given it another name.
_STAMP = re.compile(r"\d{8}T\d{6}Z(-\d+)?", re.ASCII)
# What a record of ours has, and no other program's has more than one of.
_OWN_KEYS = frozenset(("run_id", "acquired", "sinks", "topology", "verdict"))
# What is longer is looked at by who reads it.
_LOOKED_AT_BYTES = 2**20


def is_foreign_record(path: Path) -> bool:
    """True if this `run.json` is another program's. What cannot be told is taken for ours, and read in words."""
    # A link leads to what is not the run's own: who reads the record says so, without looking at it.
    if path.is_symlink():
        return False
    if not path.is_file():
        return True
    try:
        with patiently(lambda: path.open("rb")) as file:
            data = file.read(_LOOKED_AT_BYTES + 1)
    except OSError:
        return False
    if len(data) > _LOOKED_AT_BYTES:
        return False
    # Most are ours: they need not be parsed to see it.
    if sum(f'"{key}"'.encode() in data for key in _OWN_KEYS) > 2:
        return False
    is_named_as_ours = _STAMP.fullmatch(path.parent.name) is not None
    try:
        document = parsed(data)
    except ValueError:
        return not is_named_as_ours
    if not isinstance(document, dict):
        return not is_named_as_ours
    return len(_OWN_KEYS & document.keys()) < 2
