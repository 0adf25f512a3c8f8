"""Mounts of the tests' own, by their mark: gone with their test, or with the next one if that was killed."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path

import psutil

# The source of each, followed by who made it: his process id and, as numbers come again, when he was started.
MARK = "dtopipe-test"
_OCTAL = re.compile(r"\\([0-7]{3})")


def mount_table() -> list[tuple[str, str]]:
    """(source, place) of every mount, oldest first; empty where the system does not list them so."""
    table = Path("/proc/self/mounts")
    lines = table.read_bytes().splitlines() if table.exists() else []
    words = [os.fsdecode(line).split(" ") for line in lines]
    # Spaces, tabs and backslashes in a path are written as numbers.
    return [(source, _OCTAL.sub(lambda found: chr(int(found[1], 8)), place)) for source, place, *_ in words]


def unmount(place: str | Path) -> None:
    """At once, whoever still uses it. Harmless where nothing is mounted."""
    for command in ("fusermount3 -u -z", "fusermount -u -z", "umount --lazy"):
        with contextlib.suppress(OSError):
            if not subprocess.run([*command.split(), str(place)], check=False, capture_output=True).returncode:
                return


def unmount_below(folder: Path) -> None:
    """All that is mounted in there, the innermost first."""
    for _, place in reversed(mount_table()):
        if place.startswith(f"{folder}/"):
            unmount(place)


def clear_dead_mounts() -> None:
    """Take away what killed tests have left: mounts with our mark whose maker is gone."""
    for source, place in reversed(mount_table()):
        name, _, maker = source.partition(":")
        # To look at the mount itself could take until it ends, where its disk is cut.
        if name == MARK and not _is_alive(maker):
            unmount(place)


def own_source() -> str:
    """What a mount of this process is called in the system's table."""
    process = psutil.Process()
    return f"{MARK}:{process.pid}:{int(process.create_time())}"


def _is_alive(maker: str) -> bool:
    with contextlib.suppress(psutil.Error, ValueError):
        pid, started = map(int, maker.split(":"))
        # The start is reckoned from the boot by a clock that may be set: a second or two are no other process.
        return abs(psutil.Process(pid).create_time() - started) < 5
    return False
