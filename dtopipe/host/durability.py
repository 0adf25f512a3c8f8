"""Bytes that survive a power cut."""

from __future__ import annotations

import errno
import os
import sys
from typing import Literal

# How a file is opened that is synced, and not written: Windows syncs none that is open for reading only.
TO_SYNC: Literal["rb", "r+b"] = "r+b" if sys.platform == "win32" else "rb"

if sys.platform == "darwin":
    import fcntl

    # What shares and foreign file systems say there.
    _KNOWS_NONE = (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY, errno.ENODEV)

    def sync_bytes(fd: int) -> None:
        """What was written to that file, or the names in that folder, are on the medium. Raises OSError.

        There `fsync` gives them to the drive, which may keep them in a memory of its own.
        """
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _KNOWS_NONE:
                raise
            os.fsync(fd)

else:

    def sync_bytes(fd: int) -> None:
        """What was written to that file, or the names in that folder, are on the medium. Raises OSError."""
        os.fsync(fd)
