"""The users of this machine, where the system tells their numbers and names; Windows has neither for us."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from dtopipe.model.shown import shown

if sys.platform == "win32":

    def known_name(user_id: int) -> str:
        """As the system calls a user; empty if it does not know them."""
        return ""

    def other_owner(path: Path) -> int | None:
        """The id of the other user whose it is; None if it is ours, or that is not known."""
        return None

    def place_of(user_id: int, group_id: int) -> tuple[str, str, list[int]]:
        """Nobody is known by a number there, and nobody asks."""
        return "", "", [group_id]

else:
    import pwd

    def known_name(user_id: int) -> str:
        """As the system calls a user; empty if it does not know them."""
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(user_id).pw_name
        return ""

    def other_owner(path: Path) -> int | None:
        """The id of the other user whose it is; None if it is ours, or that is not known."""
        for seen in (path, *path.absolute().parents):
            with contextlib.suppress(OSError):
                user_id = seen.stat().st_uid
                return None if user_id == os.getuid() else user_id
        return None

    def place_of(user_id: int, group_id: int) -> tuple[str, str, list[int]]:
        """Name, home and groups of a user, their own group first; `group_id` is that of one of their files."""
        try:
            known = pwd.getpwuid(user_id)
        except KeyError:
            # A user of a container may have no name.
            return f"'#{user_id}'", "/", [group_id]
        others = [each for each in os.getgrouplist(known.pw_name, known.pw_gid) if each != known.pw_gid]
        return known.pw_name, known.pw_dir, [known.pw_gid, *others]


def user_name(user_id: int) -> str:
    """The name, or the number in words."""
    return shown(known_name(user_id)) or f"user {user_id}"
