"""File systems of the tests' own, small enough to be filled, and folders that nobody can write to."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from marked_mounts import clear_dead_mounts, own_source

from dtopipe.testing import small_disk as testing
from dtopipe.testing.small_disk import mount


@functools.cache
def _is_cleared() -> bool:
    clear_dead_mounts()
    return True


class SmallDisk(testing.SmallDisk):
    """A small disk of these tests: marked as theirs, so that what a killed suite has left is cleared by the next."""

    def __init__(self, folder: Path, size: str) -> None:
        if os.name != "nt" and os.geteuid() == 0:
            assert _is_cleared()
        super().__init__(folder, size, own_source())

    def remount(self, how: str) -> bool:
        """`ro` or `rw`; False while somebody has a file open for writing."""
        return not mount("-o", f"remount,{how}", str(self.path))

    def mount_at(self, folder: Path) -> SmallDisk:
        """The same file system in one more place."""
        other = object.__new__(SmallDisk)
        other.path = folder
        folder.mkdir(parents=True, exist_ok=True)
        assert not mount("--bind", str(self.path), str(folder))
        return other


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A medium that nobody can write to, root included; skips where root cannot have one."""
    if os.name != "nt" and os.geteuid() == 0:
        with _read_only_disk(folder):
            yield
        return
    paths = (folder, *folder.rglob("*"))
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@contextlib.contextmanager
def _read_only_disk(folder: Path) -> Iterator[None]:
    """What is in the folder, on a disk in its place."""
    original = folder.with_name(f"{folder.name}.original")
    folder.rename(original)
    disk = SmallDisk(folder, "64m")
    try:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        assert disk.remount("ro")
        yield
    finally:
        disk.unmount()
