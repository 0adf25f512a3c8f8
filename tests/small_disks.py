"""File systems of the tests' own, small enough to be filled, and folders that nobody can write to."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from marked_mounts import clear_dead_mounts, own_source


@functools.cache
def _is_cleared() -> bool:
    clear_dead_mounts()
    return True


def _mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode


class SmallDisk:
    """A file system of its own on a folder, by real mounts."""

    def __init__(self, folder: Path, size: str) -> None:
        self.path = folder
        folder.mkdir(parents=True, exist_ok=True)
        if os.name == "nt" or os.geteuid() != 0:
            pytest.skip("only root can mount a small file system")
        assert _is_cleared()
        if _mount("-t", "tmpfs", "-o", f"size={size}", own_source(), str(folder)):
            pytest.skip("a small file system cannot be mounted here")

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def fill(self, leaving_bytes: int = 0) -> Path:
        """Write a file that leaves so much free; its deletion gives the space back."""
        ballast = self.path / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while (room := self.free_bytes - leaving_bytes) > 0:
                file.write(bytes(min(room, 2**20)))
        return ballast

    def resize(self, size: str) -> None:
        assert not _mount("-o", f"remount,size={size}", str(self.path))

    def remount(self, how: str) -> bool:
        """`ro` or `rw`; False while somebody has a file open for writing."""
        return not _mount("-o", f"remount,{how}", str(self.path))

    def unmount(self) -> None:
        """As a share that goes: who has files open keeps them, the folder is empty."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def mount_at(self, folder: Path) -> SmallDisk:
        """The same file system in one more place."""
        other = object.__new__(SmallDisk)
        other.path = folder
        folder.mkdir(parents=True, exist_ok=True)
        assert not _mount("--bind", str(self.path), str(folder))
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
