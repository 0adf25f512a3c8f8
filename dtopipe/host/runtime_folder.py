"""The user's runtime folder: where it is, and whether it is fit to hold what only this user may touch."""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
import zlib
from pathlib import Path

import platformdirs

from dtopipe.host.disk_names import make_folders
from dtopipe.model.errors import UsageError

# A Unix socket's path may have 103 bytes on macOS, 107 on Linux; ours is /0123abcd/control below this folder.
_LONGEST_FOLDER = 84
_ANOTHER = "set DTOPIPE_RUNTIME_DIR to a folder of your own"


def runtime_dir() -> Path:
    """The folder, made if need be, mode 0700. `DTOPIPE_RUNTIME_DIR` overrides it. Raises UsageError if it is unfit."""
    folder = chosen_folder()
    if len(os.fsencode(str(folder))) > _LONGEST_FOLDER:
        raise UsageError(
            f"the runtime folder's path is too long for a socket: {folder}",
            "set DTOPIPE_RUNTIME_DIR to a short folder of your own, such as /tmp/dtopipe-me",
        )
    try:
        if not os.path.lexists(folder):
            make_folders(folder, 0o700)
    except OSError as error:
        raise UsageError(f"the runtime folder {folder} cannot be made: {error.strerror}", _ANOTHER) from error
    if trouble := _trouble(folder):
        raise trouble
    return folder


def seen_runtime_dir() -> Path | None:
    """The same for those who only look: None where it is not there, or unfit. Nothing is made."""
    folder = chosen_folder()
    return folder if os.path.lexists(folder) and not _trouble(folder) else None


def runtime_trouble() -> UsageError | None:
    """Why the folder that is there is not looked into; None if nothing is wrong with it."""
    folder = chosen_folder()
    return _trouble(folder) if os.path.lexists(folder) else None


def chosen_folder() -> Path:
    """Where it is, or would be."""
    # Absolute, but not resolved: whether the last part is a link matters.
    return Path(os.environ.get("DTOPIPE_RUNTIME_DIR") or _default_folder()).absolute()


def _default_folder() -> str:
    with warnings.catch_warnings():
        # Without a login session a private folder in the system's temporary one is taken, which it warns of.
        warnings.simplefilter("ignore", UserWarning)
        folder = platformdirs.user_runtime_dir("dtopipe", appauthor=False)
    if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        return folder
    # Too deep for a socket: a short one that every command of this user finds in the same way.
    return str(Path(tempfile.gettempdir()) / f"dtopipe-{zlib.crc32(os.fsencode(folder)):08x}")


def _trouble(folder: Path) -> UsageError | None:
    """What is wrong with a folder that is there; None if nothing is."""
    try:
        seen, around = folder.lstat(), folder.parent.stat()
    except OSError as error:
        return UsageError(f"the runtime folder {folder} cannot be looked at: {error.strerror}", _ANOTHER)
    if stat.S_ISLNK(seen.st_mode):
        return UsageError(f"the runtime folder {folder} is a link", "set DTOPIPE_RUNTIME_DIR to the folder itself")
    if not stat.S_ISDIR(seen.st_mode):
        return UsageError(f"the runtime folder {folder} is not a folder", _ANOTHER)
    if not hasattr(os, "getuid"):
        return None
    if seen.st_uid != os.getuid():
        return UsageError(f"the runtime folder {folder} belongs to another user", _ANOTHER)
    if seen.st_mode & 0o022:
        return UsageError(
            f"the runtime folder {folder} can be written to by other users",
            f"if nothing in it is theirs: chmod 700 {folder}; else {_ANOTHER}",
        )
    if seen.st_mode & 0o700 != 0o700:
        return UsageError(f"the runtime folder {folder} cannot be used by its own owner", f"chmod 700 {folder}")
    if around.st_uid not in (os.getuid(), 0):
        return UsageError(f"the runtime folder {folder} lies in a folder of another user, who can replace it", _ANOTHER)
    if around.st_mode & 0o002 and not around.st_mode & stat.S_ISVTX:
        return UsageError(
            f"the runtime folder {folder} can be replaced by other users, who can write to {folder.parent}",
            f"chmod o-w {folder.parent}, or {_ANOTHER}",
        )
    return None
