"""Names that stand in SQL as they are."""

from __future__ import annotations

import re

from dtopipe.model.errors import SinkOptionError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)


def identifier(option: str, name: str) -> str:
    """`name`, if it is a plain SQL name. Raises SinkOptionError."""
    if not _IDENTIFIER.fullmatch(name):
        raise SinkOptionError(
            None, f"{option} cannot be {name!r}", "letters, digits and underscores, at most 63, not a digit first"
        )
    return name
