"""The user and host of this process: what a mark in a folder says of its maker."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dtopipe.host.users import known_name

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Identity:
    """A user on a host. `user_id` is None where users have no numbers; `boot_id`, `machine` are empty if not known.

    `machine`: a digest of the machine's id, which is not for everybody; it tells two of one name apart.
    """

    user_id: int | None
    user: str
    host: str
    boot_id: str
    machine: str = ""

    def is_same_user(self, other: Identity) -> bool:
        """True unless both have numbers that differ."""
        return self.user_id is None or other.user_id is None or self.user_id == other.user_id

    def is_same_host(self, other: Identity) -> bool:
        """True if their locks are seen by each other: one kernel, whatever its names, or one name since a restart."""
        if self.boot_id != "" and self.boot_id == other.boot_id:
            return True
        is_other_machine = self.machine != "" and other.machine != "" and self.machine != other.machine
        return self.host == other.host and not is_other_machine

    @property
    def is_root(self) -> bool:
        """True for who may do whatever others may."""
        return self.user_id == 0

    @property
    def sudo_name(self) -> str:
        """What `sudo -u` calls this user."""
        return self.user or f"'#{self.user_id}'"


def who_is_here() -> Identity:
    """The user and host of this process."""
    boot_id = ""
    with contextlib.suppress(OSError):
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    user_id = os.getuid() if hasattr(os, "getuid") else None
    return Identity(user_id, _user_name(), socket.gethostname(), boot_id, _machine())


def _machine() -> str:
    with contextlib.suppress(OSError):
        machine_id = _MACHINE_ID.read_bytes().strip()
        return sha256(b"dtopipe " + machine_id).hexdigest()[:16] if machine_id else ""
    return ""


def _user_name() -> str:
    # Not getpass: it asks the environment, which sudo and cron may have kept from somebody else.
    if hasattr(os, "getuid"):
        # Empty for a user of a container, who may have no name.
        return known_name(os.getuid())
    with contextlib.suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return ""
