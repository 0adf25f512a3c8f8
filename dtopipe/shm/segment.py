"""One piece of named shared memory, of this user's.

`multiprocessing.shared_memory` is not used: before Python 3.13 its resource tracker unlinks a segment that another
process still needs, and it makes sparse segments, whose first write on a full tmpfs is a SIGBUS.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import secrets
import sys
import zlib
from pathlib import Path

from dtopipe.host.file_limit import process_limit
from dtopipe.model.errors import RingError

PREFIX = "dtopipe-"
_NAME = re.compile(re.escape(PREFIX) + r"[0-9a-f]{20}")
_HELD = re.compile(r"/proc/[0-9]+/fd/[0-9]+")


def new_name() -> str:
    """A name that nobody has, with the prefix of the runtime folder that was asked for: 28 characters.

    macOS allows 31. The prefix tells what is whose on a machine where sessions, containers or tests of one user run
    side by side; whoever removes a segment goes by its whole name.
    """
    return prefix_of(os.environ.get("DTOPIPE_RUNTIME_DIR", "")) + secrets.token_hex(6)


def prefix_of(runtime_folder: str) -> str:
    """What the names of segments begin with that were made under this `DTOPIPE_RUNTIME_DIR`; empty: under none."""
    return f"{PREFIX}{zlib.crc32(os.fsencode(runtime_folder)):08x}"


def is_own_name(name: str) -> bool:
    """True for what `new_name` can give."""
    return _NAME.fullmatch(name) is not None


class Segment:
    """A mapping of shared memory; `buffer` is all of it. The creator unlinks it; on Windows the last handle does.

    `held`: where this user's processes find it for as long as its creator lives, whatever becomes of its name (a logout
    may take that, or whoever cleans /dev/shm); empty where the system has no such place.
    """

    def __init__(self, name: str, mapping: mmap.mmap, fd: int | None = None) -> None:
        self.name = name
        self.buffer = memoryview(mapping)
        self._fd = fd

    @property
    def held(self) -> str:
        """See the class."""
        return "" if self._fd is None or sys.platform != "linux" else f"/proc/{os.getpid()}/fd/{self._fd}"

    @classmethod
    def create(cls, name: str, size: int) -> Segment:
        """Make a segment of zeros, its memory reserved. Raises RingError, with what to do, if there is no room."""
        try:
            return cls(name, *_create(name, size))
        except (OSError, OverflowError) as error:
            limit, whose = process_limit()
            if limit and size > limit:
                raise RingError(
                    f"a ring of {size / 2**20:.1f} MiB is a file in memory, and {whose} lets none be so large",
                    "make the ring smaller (ring: in the topology) or raise that limit: ulimit -f unlimited",
                ) from error
            if isinstance(error, OverflowError) or error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
                raise RingError(
                    f"no room for a ring of {size / 2**20:.1f} MiB in shared memory",
                    "make the ring smaller (ring: in the topology) or free shared memory (df -h /dev/shm)",
                ) from error
            raise RingError(f"shared memory {name} could not be made: {error}") from error

    @classmethod
    def attach(cls, name: str, held: str = "") -> Segment:
        """Map a segment that another process made, from where it holds it, else by its name. Raises RingError."""
        try:
            return cls(name, _attach_held(name, held) or _attach(name))
        except (OSError, ValueError) as error:  # ValueError: its maker was killed before it gave it a size
            raise RingError(f"shared memory {name} could not be opened: {error}") from error

    def close(self) -> None:
        """Let go of it: the memory is unmapped with the last view of it that somebody still holds."""
        # Never mmap.close(): an array over the buffer keeps the mapping's object, but does not keep it from closing,
        # and its next access would be a segmentation fault.
        del self.buffer
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


if sys.platform == "win32":

    def _create(name: str, size: int) -> tuple[mmap.mmap, int | None]:
        return mmap.mmap(-1, size, tagname=name), None

    def _attach_held(name: str, held: str) -> mmap.mmap | None:
        return None

    def _attach(name: str) -> mmap.mmap:
        # The size of an existing mapping is not asked for; its first word pair holds it (layout.Head).
        import struct

        head = mmap.mmap(-1, 64, tagname=name)
        size = struct.unpack_from("<q", head, 8)[0]
        head.close()
        return mmap.mmap(-1, size, tagname=name)

    def is_ours(name: str) -> bool:
        """True if it has a name as ours have; Windows lets no other user have it."""
        return is_own_name(name)

    def unlink(name: str) -> None:
        """Nothing to do: Windows frees a segment with its last handle."""

    def names() -> list[str]:
        """Nothing can be left behind on Windows."""
        return []

else:
    import _posixshmem

    def _create(name: str, size: int) -> tuple[mmap.mmap, int | None]:
        fd = _posixshmem.shm_open("/" + name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600)
        try:
            os.ftruncate(fd, size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, size)
            return mmap.mmap(fd, size), fd
        except BaseException:
            os.close(fd)
            _posixshmem.shm_unlink("/" + name)
            raise

    def _attach_held(name: str, held: str) -> mmap.mmap | None:
        """None where it is not there: its creator has let go of it, or is not seen from here (another container)."""
        if not _HELD.fullmatch(held):
            return None
        with contextlib.suppress(OSError):
            # Whatever has this number by now must not be waited for; a file that is none has no pages.
            fd = os.open(held, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return mmap.mmap(fd, os.fstat(fd).st_size) if _name_of(fd) == name else None
            finally:
                os.close(fd)
        return None

    def _name_of(fd: int) -> str:
        """The name that it has, or had."""
        return Path(f"/proc/self/fd/{fd}").readlink().name.removesuffix(" (deleted)")

    def _attach(name: str) -> mmap.mmap:
        fd = _posixshmem.shm_open("/" + name, os.O_RDWR, mode=0o600)
        try:
            return mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def is_ours(name: str) -> bool:
        """True if there is such a segment, with a name as ours have, and this user made it."""
        if not is_own_name(name):
            return False
        try:
            fd = _posixshmem.shm_open("/" + name, os.O_RDONLY, mode=0o600)
        except OSError:
            return False
        try:
            return os.fstat(fd).st_uid == os.getuid()
        finally:
            os.close(fd)

    def unlink(name: str) -> None:
        """Take the name away; the memory goes with the last mapping. Harmless when it is gone already."""
        with contextlib.suppress(FileNotFoundError):
            _posixshmem.shm_unlink("/" + name)

    def names() -> list[str]:
        """Segments of dtopipe that exist now, where the system lists them (Linux)."""
        folder = Path("/dev/shm")  # noqa: S108  (where Linux keeps POSIX shared memory; nothing is created by path)
        return sorted(path.name for path in folder.glob(PREFIX + "*")) if folder.is_dir() else []
