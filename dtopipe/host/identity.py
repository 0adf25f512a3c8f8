"""Who runs this process, and where: what a mark in a folder says of its maker."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """A user on a host. `user_id` is None where users have no numbers, `boot_id` empty where it is not known."""

    user_id: int | None
    user: str
    host: str
    boot_id: str

    def is_same_user(self, other: Identity) -> bool:
        """True unless both have numbers that differ."""
        return self.user_id is None or other.user_id is None or self.user_id == other.user_id

    def is_same_host(self, other: Identity) -> bool:
        """True if their locks are seen by each other: one kernel, whatever its names, or one name since a restart."""
        return (self.boot_id != "" and self.boot_id == other.boot_id) or self.host == other.host


def who_is_here() -> Identity:
    """The user and host of this process."""
    boot_id = ""
    with contextlib.suppress(OSError):
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    return Identity(os.getuid() if hasattr(os, "getuid") else None, _user_name(), socket.gethostname(), boot_id)


def _user_name() -> str:
    # A user of a container may have no name.
    with contextlib.suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return ""
