"""What an error of the system means where Windows says less by its `errno` than POSIX does.

Windows' C library has one `errno` for many errors: EACCES stands for a file that another program holds, for a drawer
without a disk, and for what one may not do; EINVAL for all that it does not know. The system itself is asked then.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION: another program has it open, or a part of it to itself.
_HELD_BY_ANOTHER = (32, 33)
# By Windows' number, as POSIX says the same.
_MEANING = {
    **dict.fromkeys(_HELD_BY_ANOTHER, errno.EBUSY),
    19: errno.EROFS,  # write protect
    **dict.fromkeys((15, 20, 55), errno.ENODEV),  # drive or device that is not there any more
    **dict.fromkeys((21, 23, 27, 29, 30, 31, 483, 1006, 1110, 1112, 1117), errno.EIO),  # not ready, CRC, medium changed
    **dict.fromkeys((39, 112), errno.ENOSPC),
    1295: errno.EDQUOT,
    223: errno.EFBIG,
    # A share: its name, its path, its session, its server.
    **dict.fromkeys((51, 53, 54, 59, 64, 65, 67, 240, 1203, 1222, 1231, 1236, 1256), errno.EHOSTUNREACH),
    121: errno.ETIMEDOUT,
}
# What its C library says of more than one thing.
_VAGUE = (errno.EACCES, errno.ENOENT, errno.EINVAL)
# Who looks for viruses or fills a search index holds a file that was just written for some milliseconds.
_PATIENCE_S, _PAUSE_S = 0.5, 0.01


def meaning_of(error: OSError, path: Path) -> int:
    """The `errno` that says what is wrong with the file at `path`; on POSIX it is the error's own."""
    number = getattr(error, "winerror", None)
    if number is None and error.errno in _VAGUE:
        number = _number_of(path, error.errno)
    return _MEANING.get(number or 0, error.errno or 0)


def replace_file(draft: Path, path: Path) -> None:
    """The draft takes the place of the file at `path`, at once and whole. Raises OSError.

    Where somebody who reads the old one keeps it in its place, for as long as Windows lets him, that is waited for.
    """
    patiently(lambda: draft.replace(path))


def patiently(call: Callable[[], T], patience_s: float = _PATIENCE_S) -> T:
    """What the call returns. Again and again for a while, where it is refused for a reason that passes by itself."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except PermissionError as error:
            if not _may_pass(error) or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)


if sys.platform == "win32":
    import _winapi

    _READ_ATTRIBUTES, _READ_AND_WRITE, _SHARED_WITH_READERS_AND_WRITERS = 0x80, 0xC0000000, 0x3
    _OPEN_EXISTING, _OF_FOLDERS_TOO = 3, 0x02000000

    def _may_pass(error: PermissionError) -> bool:
        # Access is denied, too, to a file that was deleted while somebody has it open.
        return True

    def _number_of(path: Path, vague: int) -> int | None:
        """Windows' own number: the file is opened as our own calls open it. Nothing is read, written or made."""
        try:
            wanted = _READ_ATTRIBUTES if path.is_dir() else _READ_AND_WRITE
            handle = _winapi.CreateFile(
                str(path), wanted, _SHARED_WITH_READERS_AND_WRITERS, 0, _OPEN_EXISTING, _OF_FOLDERS_TOO, 0
            )
        except OSError as error:
            return error.winerror
        _winapi.CloseHandle(handle)
        # A file that may be written, and yet was refused: a part of it is locked, or it was held until now.
        return _HELD_BY_ANOTHER[0] if vague == errno.EACCES and wanted == _READ_AND_WRITE else None

else:

    def _may_pass(error: PermissionError) -> bool:
        return False

    def _number_of(path: Path, vague: int) -> int | None:
        return None
