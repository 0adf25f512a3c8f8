"""What a user may not look at: whose it is, and what to type."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from dtopipe.model.errors import UsageError
from dtopipe.model.shown import shown

# Every disk that is mounted somewhere has one, for root alone.
_OF_THE_DISK = "lost+found"


def is_closed(folder: Path) -> bool:
    """True if somebody keeps this user from what is in the folder."""
    return folder.exists() and not os.access(folder, os.R_OK | os.X_OK)


def closed_below(root: Path) -> Iterator[Path]:
    """Folders below `root` in which there may be runs that this user may not see: of a name, or of one run."""
    with contextlib.suppress(OSError):
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name != _OF_THE_DISK):
            if is_closed(folder):
                yield folder
            else:
                yield from sorted(path for path in folder.iterdir() if path.is_dir() and is_closed(path))


def closed(path: Path) -> UsageError:
    """The error for who asks for it all the same."""
    user_id = _other_owner(path)
    if user_id is None:
        return UsageError(
            f"{path} cannot be looked at: permission denied", "ask its owner, or let them allow you to read it"
        )
    return UsageError(
        f"{path} cannot be looked at: permission denied, it belongs to {_user_name(user_id)}",
        f"let them allow you to read it, or type the same as they: sudo -u {_sudo_name(user_id)} dtopipe ...",
    )


def owner_of(path: Path) -> str:
    """The other user whose it is, or whose folder keeps us from seeing that; empty if that is not known."""
    user_id = _other_owner(path)
    return "" if user_id is None else _user_name(user_id)


def _other_owner(path: Path) -> int | None:
    """The id of the other user whose it is; None if it is ours, or that is not known."""
    if sys.platform == "win32":
        return None
    for seen in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            user_id = seen.stat().st_uid
            return None if user_id == os.getuid() else user_id
    return None


def _known_name(user_id: int) -> str:
    """As the system calls a user; empty if it does not know him."""
    if sys.platform == "win32":
        return ""
    import pwd

    with contextlib.suppress(KeyError):
        return shown(pwd.getpwuid(user_id).pw_name)
    return ""


def _user_name(user_id: int) -> str:
    return _known_name(user_id) or f"user {user_id}"


def _sudo_name(user_id: int) -> str:
    return _known_name(user_id) or f"'#{user_id}'"
