"""Names that survive a power cut: a new folder, or a file's new name, is on the disk once its folder is synced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from dtopipe.host.durability import sync_bytes

# What network shares and FAT say.
_NO_SYNC_OF_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)


def sync_names(folder: Path) -> None:
    """The names in `folder` survive a power cut, where the system can say so. Raises OSError."""
    if os.name == "nt":
        return
    try:
        fd = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        sync_bytes(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC_OF_FOLDERS:
            raise
    finally:
        os.close(fd)


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Make `folder`, and what is missing above it, each name synced; harmless where it is there.

    `mode` is that of all that is made: who can write to a folder above it could replace it. Raises OSError.
    """
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folders(folder.parent, mode)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_names(folder.parent)
