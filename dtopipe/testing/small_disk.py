"""A file system that is small enough to be filled."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from dtopipe.host.identity import who_is_here


class SmallDisk:
    """A tmpfs of a few megabytes on a folder of its own. Skips the test where it cannot be mounted."""

    def __init__(self, folder: Path, size: str, source: str = "dtopipe-test") -> None:
        self.path = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not who_is_here().is_root:
            pytest.skip("only root can mount a small file system")
        if mount("-t", "tmpfs", "-o", f"size={size}", source, str(folder)):
            pytest.skip("a small file system cannot be mounted here")

    @property
    def free_bytes(self) -> int:
        """How much may still be written."""
        return shutil.disk_usage(self.path).free

    def fill(self, leaving_bytes: int = 0) -> Path:
        """Write a file that leaves so much free; its deletion gives the space back."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file:
            while (room := self.free_bytes - leaving_bytes) > 0:
                try:
                    _lengthen(file, room)
                except OSError as error:
                    # Somebody else has written meanwhile, and there is less by now.
                    if error.errno != errno.ENOSPC:
                        raise
        return ballast

    def resize(self, size: str) -> None:
        """Make it larger or smaller."""
        assert not mount("-o", f"remount,size={size}", str(self.path))

    def unmount(self) -> None:
        """As a share that goes: who has files open keeps them, the folder is empty."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


def mount(*arguments: str) -> int:
    """The exit code of that `mount`."""
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[SmallDisk]:
    """A small disk that is gone afterwards."""
    disk = SmallDisk(folder, size)
    try:
        yield disk
    finally:
        disk.unmount()


if sys.platform == "linux":

    def _lengthen(file: FileIO, by_bytes: int) -> None:
        """By bytes that are there, and need not be written."""
        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), by_bytes)

else:

    def _lengthen(file: FileIO, by_bytes: int) -> None:
        """Nothing else has such a file system."""
        raise NotImplementedError
