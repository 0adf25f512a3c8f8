"""Names that stand in SQL, in paths and in requests as they are."""

from __future__ import annotations

import re

from dtopipe.model.errors import SinkOptionError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
# Those of other programs, and of others' runs, may be more. Without separators and wildcards, and no way up.
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}", re.ASCII)
# Logs are named after sinks, folders after runs: on every system.
_FILE_NAME = re.compile(r"[^\x00-\x1f/\\:*?\"<>|.]([^\x00-\x1f/\\:*?\"<>|]*[^\x00-\x1f/\\:*?\"<>|. ])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
RUN_ID_HELP = "letters, digits, dots, - and _, at most 100, a letter or digit first"


def identifier(option: str, name: str) -> str:
    """`name`, if it is a plain SQL name. Raises SinkOptionError."""
    if not _IDENTIFIER.fullmatch(name):
        raise SinkOptionError(
            None, f"{option} cannot be {name!r}", "letters, digits and underscores, at most 63, not a digit first"
        )
    return name


def is_run_id(text: str) -> bool:
    """True if this can be the id of a run: it may become a part of a file's name, and of a request."""
    return _RUN_ID.fullmatch(text) is not None


def is_own_run_id(text: str) -> bool:
    """True for what dtopipe gives to its runs, `str(uuid.uuid4())`."""
    return _UUID.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """True if a file or folder may have this name on every system."""
    return _FILE_NAME.fullmatch(text) is not None and _RESERVED.fullmatch(text) is None
