"""The user's runtime folder: one entry a run in progress, gone when the run is.

An entry holds the locks by which a run's processes show that they live, its local sockets, and `entry.json`, which
says where the run is. It is private to the user, and what a killed run leaves here tells the next command what to
clear away.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from dtopipe.host.lock import FileLock, is_held
from dtopipe.model.errors import DtopipeError

_ENTRY_FILE = "entry.json"
_SUPERVISOR = "supervisor"
# A Unix socket's path may have 103 bytes on macOS, 107 on Linux; ours is /0123abcd/control below this folder.
_LONGEST_FOLDER = 84


def runtime_dir() -> Path:
    """The folder, made if need be, mode 0700. `DTOPIPE_RUNTIME_DIR` overrides it. Raises DtopipeError."""
    folder = Path(os.environ.get("DTOPIPE_RUNTIME_DIR") or _default_folder())
    if len(os.fsencode(str(folder))) > _LONGEST_FOLDER:
        raise DtopipeError(
            f"the runtime folder's path is too long for a socket: {folder}\n"
            "    set DTOPIPE_RUNTIME_DIR to a short folder of your own, such as /tmp/dtopipe-me"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DtopipeError(
            f"the runtime folder {folder} cannot be made: {error.strerror}\n"
            "    set DTOPIPE_RUNTIME_DIR to a folder of your own"
        ) from error
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise DtopipeError(
            f"the runtime folder {folder} belongs to another user\n    set DTOPIPE_RUNTIME_DIR to a folder of your own"
        )
    return folder


def _default_folder() -> str:
    with warnings.catch_warnings():
        # Without a login session a private folder in the system's temporary one is taken, which it warns of.
        warnings.simplefilter("ignore", UserWarning)
        folder = platformdirs.user_runtime_dir("dtopipe", appauthor=False)
    if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        return folder
    # Too deep for a socket: a short one that every command of this user finds in the same way.
    return str(Path(tempfile.gettempdir()) / f"dtopipe-{zlib.crc32(os.fsencode(folder)):08x}")


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """What `entry.json` says."""

    run_id: str
    name: str
    run_folder: str
    started_at: str
    pid: int
    control: str
    public_key: str = ""
    secret_key: str = ""
    segment: str = ""


class RuntimeEntry:
    """One run's folder in the runtime folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls) -> RuntimeEntry:
        """A new, empty entry."""
        folder = runtime_dir() / secrets.token_hex(4)
        folder.mkdir(mode=0o700)
        return cls(folder)

    def write(self, facts: EntryFacts) -> None:
        """Replace `entry.json`."""
        draft = self.folder / (_ENTRY_FILE + ".new")
        draft.write_text(json.dumps(asdict(facts)), encoding="utf-8")
        draft.replace(self.folder / _ENTRY_FILE)

    def read(self) -> EntryFacts | None:
        """What `entry.json` says; None if the entry is not complete."""
        try:
            document: dict[str, Any] = json.loads((self.folder / _ENTRY_FILE).read_text(encoding="utf-8"))
            return EntryFacts(**document)
        except (OSError, ValueError, TypeError):
            return None

    def lock(self, process: str) -> FileLock:
        """The liveness lock of one process of the run, not yet acquired."""
        return FileLock(self.folder / f"{process}.lock")

    def supervisor_lock(self) -> FileLock:
        """The supervisor's."""
        return self.lock(_SUPERVISOR)

    def is_alive(self, process: str) -> bool:
        """True if that process of the run holds its lock."""
        return is_held(self.folder / f"{process}.lock")

    def supervisor_is_alive(self) -> bool:
        """True if the run has its supervisor."""
        return self.is_alive(_SUPERVISOR)

    def subscriber_lock(self, key: str) -> FileLock:
        """By which a program that follows the run shows that it lives. It is no process of the run."""
        return FileLock(self._subscriber_path(key))

    def listens(self, key: str) -> bool:
        """True while that program lives and follows the run; only whoever finds it gone takes its file away."""
        path = self._subscriber_path(key)
        # A file that somebody else has deleted proves nothing.
        return not path.exists() or is_held(path)

    def is_listening(self, key: str) -> bool:
        """True if there is a living program of this key."""
        return is_held(self._subscriber_path(key))

    def forget_subscriber(self, key: str) -> None:
        """Take its lock's file away; harmless when it is gone."""
        with contextlib.suppress(OSError):
            self._subscriber_path(key).unlink(missing_ok=True)

    def _subscriber_path(self, key: str) -> Path:
        # Not *.lock: nobody is to wait for a program, least of all one that is stopped.
        return self.folder / f"{key}.subscriber"

    def anybody_is_alive(self) -> bool:
        """True if any process of the run lives."""
        return any(is_held(path) for path in self.folder.glob("*.lock"))

    def remove(self) -> None:
        """Take the entry away; harmless when it is gone."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder, ignore_errors=True)


def entries() -> Iterator[RuntimeEntry]:
    """Every entry of this user, of runs that live and of runs that were killed."""
    for folder in sorted(runtime_dir().iterdir()):
        if folder.is_dir():
            yield RuntimeEntry(folder)
