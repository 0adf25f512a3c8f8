"""A file system on a forgetful disk, as a process: at a cut no call returns any more, and the disk is written out.

    python cut_file_system.py MOUNTPOINT IMAGE --mode ordered [--seed 7] [--begin-with FOLDER]
        [--cut-at WHAT:NAME:N:LATER] [--notice WHAT:NAME:N:LATER] [--slow FILE]

It cuts on SIGUSR1, or by itself: at the Nth call WHAT (`create`, `mkdir`, `rename`, `unlink`, `write`, `truncate`,
`fsync`, `fsyncdir`, `any`; `says`: a write of that text) on a file whose name fits the pattern NAME, plus LATER calls.
The image is there, complete, as soon as the folder IMAGE is: `disk` in it is what survives, `live` what programs saw,
`cut.json` how it came. What it is to notice it says with the file IMAGE.noticed, and goes on: who looked into the mount
for it could be held there by a cut. While FILE is there, whose text is `WHAT NAME SECONDS`, each such call (`write` or
`fsync`) on the file NAME takes so long. Ends, and takes the mount with it, when its standard input does.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import os
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mfusepy
from cut_mounts import noticed_path
from cut_triggers import Trigger
from forgetful_disk import PAGE_BYTES, Disk, Mode
from forgetful_files import SECTOR_BYTES, File, Folder, live_tree, put_tree
from marked_mounts import own_source, unmount

# Nobody but us changes anything, so that the kernel may believe what it knows.
_KNOWN_FOR_S = 60
_FREE_BLOCKS = 10_000_000


class CutFileSystem(mfusepy.Operations):  # type: ignore[misc]
    """The calls of a file system; a path may be None where there is a handle."""

    use_ns = True
    # A file that was unlinked and is open has no path.
    flag_nullpath_ok = 1
    flag_nopath = 1

    def __init__(
        self, disk: Disk, image: Path, cut_at: Trigger | None, notice: Trigger | None, slow: Path | None
    ) -> None:
        self._disk = disk
        self._image = image
        self._cut_at = cut_at
        self._notice = notice
        self._slow = slow
        self._lock = threading.Lock()
        self._handles: dict[int, tuple[File | Folder, str]] = {}
        self._numbers = itertools.count(1)
        self._calls = 0

    def cut(self, why: str) -> None:
        """The power goes; never returns, nor does any other call."""
        self._lock.acquire()
        self._end(why)

    def _end(self, why: str) -> None:
        draft = self._image.with_name(self._image.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        put_tree(live_tree(self._disk.root), draft / "live")
        put_tree(self._disk.survivors(), draft / "disk")
        facts = {"why": why, "calls": self._calls, "mode": self._disk.mode}
        (draft / "cut.json").write_text(json.dumps(facts), encoding="utf-8")
        draft.rename(self._image)
        threading.Event().wait()

    def _changing(self, what: str, path: str, data: bytes = b"") -> None:
        """Before every call that may change something; the lock is held."""
        self._calls += 1
        if self._notice is not None and self._notice.is_due(what, path, data):
            noticed_path(self._image).touch()
            self._notice = None
        if self._cut_at is not None and self._cut_at.is_due(what, path, data):
            self._end(f"{what} {path}")

    def _linger(self, what: str, path: str | None, handle: int) -> None:
        """Before a call that may be slow; nobody else waits for it."""
        if self._slow is not None and self._slow.exists():
            slow, name, seconds = self._slow.read_text(encoding="utf-8").split(" ")
            with self._lock:
                _, known = self._node(path, handle)
            if (what, Path(known).name) == (slow, name):
                time.sleep(float(seconds))

    def _node(self, path: str | None, handle: int | None) -> tuple[File | Folder, str]:
        if handle in self._handles:
            return self._handles[handle]
        if path is None:
            raise OSError(errno.ESTALE, "no path and no handle")
        return self._disk.find(path), path

    def _file(self, path: str | None, handle: int | None) -> tuple[File, str]:
        node, known = self._node(path, handle)
        if isinstance(node, Folder):
            raise IsADirectoryError(errno.EISDIR, known)
        return node, known

    def _opened(self, node: File | Folder, path: str) -> int:
        handle = next(self._numbers)
        self._handles[handle] = node, path
        return handle

    # What looks.

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        with self._lock:
            node, _ = self._node(path, fh)
            size = PAGE_BYTES if isinstance(node, Folder) else len(node.live)
            now = time.time_ns()
            return {
                "st_mode": _kind(node) | node.permissions, "st_ino": node.number, "st_nlink": 1,
                "st_size": size, "st_blocks": -(-size // SECTOR_BYTES),
                "st_uid": os.getuid(), "st_gid": os.getgid(),
                "st_atime": now, "st_mtime": now, "st_ctime": now,
            }  # fmt: skip

    def readdir(self, path: str | None, fh: int) -> list[tuple[str, dict[str, int], int]]:
        with self._lock:
            node, known = self._node(path, fh)
            if isinstance(node, File):
                raise NotADirectoryError(errno.ENOTDIR, known)
            # An entry without an inode's number counts as deleted.
            entries = [(".", node), ("..", node), *node.live.items()]
            return [(name, {"st_ino": there.number, "st_mode": _kind(there)}, 0) for name, there in entries]

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        with self._lock:
            return bytes(self._file(path, fh)[0].live[offset : offset + size])

    def statfs(self, path: str) -> dict[str, int]:
        blocks = {"f_blocks": _FREE_BLOCKS, "f_bfree": _FREE_BLOCKS, "f_bavail": _FREE_BLOCKS}
        return {
            "f_bsize": PAGE_BYTES,
            "f_frsize": PAGE_BYTES,
            "f_namemax": 255,
            "f_files": 10**6,
            "f_ffree": 10**6,
            **blocks,
        }

    def open(self, path: str, flags: int) -> int:
        with self._lock:
            node = self._disk.find(path)
            if flags & os.O_TRUNC and isinstance(node, File):
                self._changing("truncate", path)
                self._disk.resize(node, 0)
            return self._opened(node, path)

    def opendir(self, path: str) -> int:
        return self.open(path, 0)

    def release(self, path: str | None, fh: int) -> int:
        with self._lock:
            self._handles.pop(fh, None)
            return 0

    def releasedir(self, path: str | None, fh: int) -> int:
        return self.release(path, fh)

    # What changes.

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self._lock:
            self._changing("create", path)
            node = File(stat.S_IMODE(mode))
            self._disk.add(path, node)
            return self._opened(node, path)

    def mkdir(self, path: str, mode: int) -> int:
        with self._lock:
            self._changing("mkdir", path)
            self._disk.add(path, Folder(stat.S_IMODE(mode)))
            return 0

    def unlink(self, path: str) -> int:
        with self._lock:
            self._changing("unlink", path)
            self._disk.remove(path)
            return 0

    def rmdir(self, path: str) -> int:
        return self.unlink(path)

    def rename(self, old: str, new: str) -> int:
        with self._lock:
            self._changing("rename", new)
            self._disk.rename(old, new)
            return 0

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        self._linger("write", path, fh)
        with self._lock:
            node, known = self._file(path, fh)
            self._changing("write", known, data)
            self._disk.write(node, offset, data)
            return len(data)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        with self._lock:
            node, known = self._file(path, fh)
            self._changing("truncate", known)
            self._disk.resize(node, length)
            return 0

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, fh: int) -> int:
        if mode:
            raise OSError(errno.EOPNOTSUPP, "only room is reserved here")
        with self._lock:
            node, known = self._file(path, fh)
            self._changing("truncate", known)
            self._disk.resize(node, max(len(node.live), offset + size))
            return 0

    def chmod(self, path: str | None, mode: int) -> int:
        if path is not None:
            with self._lock:
                self._disk.find(path).permissions = stat.S_IMODE(mode)
        return 0

    def chown(self, path: str | None, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str | None, times: Any = None) -> int:
        return 0

    # What promises.

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        self._linger("fsync", path, fh)
        with self._lock:
            node, known = self._file(path, fh)
            self._changing("fsync", known)
            self._disk.sync_file(node)
            return 0

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        with self._lock:
            node, known = self._node(path, fh)
            self._changing("fsyncdir", known)
            if isinstance(node, Folder):
                self._disk.sync_folder(node)
            return 0


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """With libfuse 3 the binding forgets the handle of a file that is truncated, which may have no path."""

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        code: int = self.ftruncate(path, length, fip)
        return code


def _kind(node: File | Folder) -> int:
    return stat.S_IFDIR if isinstance(node, Folder) else stat.S_IFREG


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def main() -> None:
    """Mount, and serve until the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--mode", type=Mode, choices=list(Mode), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--begin-with", type=Path, help="a folder whose content is on the disk in the beginning")
    parser.add_argument("--cut-at", type=Trigger, metavar="WHAT:NAME:N:LATER")
    parser.add_argument("--notice", type=Trigger, metavar="WHAT:NAME:N:LATER")
    parser.add_argument("--slow", type=Path, metavar="FILE", help="what is slow, while this file is there")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    disk = Disk(options.mode, options.seed)
    if options.begin_with is not None:
        disk.load(options.begin_with)
    operations = CutFileSystem(disk, options.image, options.cut_at, options.notice, options.slow)

    def cut_on_signal() -> None:
        signal.sigwait({signal.SIGUSR1})
        operations.cut("signal")

    def end_with_the_caller() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        unmount(options.mountpoint)
        os._exit(0)

    _in_background(cut_on_signal)
    _in_background(end_with_the_caller)
    _Fuse(
        operations, str(options.mountpoint), foreground=True, fsname=own_source(),
        hard_remove=True, use_ino=True,
        attr_timeout=_KNOWN_FOR_S, entry_timeout=_KNOWN_FOR_S, kernel_cache=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
