"""What a user may not look at: whose it is, and what to type."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dtopipe.host.users import known_name, other_owner, user_name
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
    user_id = other_owner(path)
    if user_id is None:
        return UsageError(
            f"{path} cannot be looked at: permission denied", "ask its owner, or let them allow you to read it"
        )
    return UsageError(
        f"{path} cannot be looked at: permission denied, it belongs to {user_name(user_id)}",
        f"let them allow you to read it, or type the same as they: sudo -u {_sudo_name(user_id)} dtopipe ...",
    )


def owner_of(path: Path) -> str:
    """The other user whose it is, or whose folder keeps us from seeing that; empty if that is not known."""
    user_id = other_owner(path)
    return "" if user_id is None else user_name(user_id)


def _sudo_name(user_id: int) -> str:
    return shown(known_name(user_id)) or f"'#{user_id}'"
