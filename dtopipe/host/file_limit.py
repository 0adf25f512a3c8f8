"""The largest file that can be written at a place: FAT and a limit of the process end where a disk has room still."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_FAT = ("vfat", "msdos", "fat", "fat32")
MOST_ON_FAT = 2**32 - 1


def largest_file(path: Path) -> tuple[int, str] | None:
    """Bytes that a file at `path` may have, and what says so; None where nothing does that is known here."""
    limits = [(size, words) for size, words in (process_limit(), _disk_limit(path)) if size]
    return min(limits, default=None)


if sys.platform == "win32":

    def process_limit() -> tuple[int, str]:
        """What this process may make of a file; there is no limit."""
        return 0, ""

else:
    import resource

    def process_limit() -> tuple[int, str]:
        """What this process and those that it starts may make of a file, and what says so; 0 where there is no limit.

        Shared memory is a file too.
        """
        size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        return (0, "") if size == resource.RLIM_INFINITY else (size, "the limit of this process (ulimit -f)")


def _disk_limit(path: Path) -> tuple[int, str]:
    # Imported here: most processes never ask, and would pay for it at their start.
    import psutil

    place = path.absolute()
    with contextlib.suppress(OSError):
        place = place.resolve()
    found, words = -1, ""
    # What a system does not tell of its file systems is no reason not to record.
    with contextlib.suppress(OSError, RuntimeError):
        for disk in psutil.disk_partitions(all=True):
            mounted = Path(disk.mountpoint)
            if place.is_relative_to(mounted) and len(mounted.parts) > found:
                found, words = len(mounted.parts), disk.fstype.lower()
    return (MOST_ON_FAT, f"the file system {words}") if words in _FAT else (0, "")
