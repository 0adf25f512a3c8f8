"""The lock and mark in a run folder: whose run it is, that it goes on, and where it is reached.

A run's supervisor holds the lock on `run.lock` for the life of the run, and whoever completes the record of a killed
run holds it meanwhile. What is in the file tells who made it, on which host, and how its supervisor is spoken with, so
that no other folder has to be there for that. It goes with the verdict; killed runs of older versions have none either.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dtopipe.host.birth import birth_of
from dtopipe.host.identity import Identity, who_is_here
from dtopipe.host.lock import FileLock, LockHeld, is_held
from dtopipe.model.errors import SinkError, UsageError

LOCK_FILE = "run.lock"
_LONGEST_MARK = 2**16
# Longer than most marks, which so are replaced by one of their length.
_MARK_BYTES = 2048
_MORE = ("born", "folder", "control", "other_control", "segment", "held", "started_at")


@dataclass(frozen=True, slots=True)
class RunMark:
    """What `run.lock` says: the run, who made it and where, its supervisor's process and runtime entry.

    `born`: when that process was started, which no later one of its number was; `folder`: where the run is, unlike a
    copy of it; `control`: where its supervisor hears this user; `segment`, `held`: its shared memory.
    """

    run_id: str
    maker: Identity
    pid: int
    entry: str
    born: str = ""
    folder: str = ""
    control: str = ""
    other_control: str = ""
    segment: str = ""
    held: str = ""
    started_at: str = ""

    def supervisor_lives(self) -> bool:
        """True if that process is seen here, whatever became of its lock."""
        return self.born != "" and self.maker.boot_id == who_is_here().boot_id and birth_of(self.pid) == self.born

    def may_live(self) -> bool:
        """False if that process is known to be gone."""
        return self.born == "" or self.maker.boot_id != who_is_here().boot_id or self.supervisor_lives()

    def is_of(self, folder: Path) -> bool:
        """False for a copy."""
        with contextlib.suppress(OSError):
            return self.folder in ("", str(folder)) or Path(self.folder).samefile(folder)
        return False


class RunLock:
    """The lock of one run folder, not yet held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK_FILE)
        self._document: dict[str, Any] = {}

    def hold(self, run_id: str, entry: Path) -> None:
        """It holds the lock for the life of a run that begins. Raises UsageError where the file system knows none."""
        self._document = _document(run_id, entry, self._folder)
        try:
            self._lock.acquire()
            self._write()
        except OSError as error:
            self._lock.release()
            raise UsageError(
                f"the run folder {self._folder} cannot be locked: {error.strerror or error}",
                "choose another place with --run-dir or run_dir: in the topology",
            ) from error

    def tell(self, **facts: str) -> None:
        """Have these in the mark too. Raises OSError."""
        self._document |= facts
        self._write()

    def ensure_in_place(self) -> None:
        """Hold it anew if its file was taken away. Raises OSError, where it can be tried again."""
        if self._lock.is_in_place():
            return
        anew = FileLock(self._lock.path)
        anew.acquire(0)
        self._lock.release()
        self._lock = anew
        self._write()

    def hold_to_complete(self) -> None:
        """While a killed run's record is completed. Raises UsageError if somebody has it, SinkError."""
        try:
            self._lock.acquire()
        except LockHeld as error:
            raise UsageError(
                f"{self._folder} is held by its run, or by another command that completes it", "try again in a moment"
            ) from error
        except OSError as error:
            message = f"the run folder cannot be written to: {error.strerror}"
            raise SinkError(self._folder, message, "copy it to where there is room, and repair the copy") from error

    def release(self) -> None:
        """Give it back; the mark stays: the record is not complete. Harmless when it is not held."""
        self._lock.release()

    def take_away(self) -> None:
        """Give it back, with its mark: the record is complete, which is what others look at from now on."""
        self._lock.release()
        with contextlib.suppress(OSError):
            self._lock.path.unlink(missing_ok=True)

    def _write(self) -> None:
        # In one call and over what was there: who looks at it meanwhile finds the one or the other.
        text = json.dumps(self._document).encode().ljust(_MARK_BYTES - 1) + b"\n"
        self._lock.write(text)


def run_lock_is_held(folder: Path) -> bool:
    """True while the run in this folder has its supervisor, or its record is being completed.

    Raises OSError if that cannot be seen: it may not be read, or its file system has no locks here.
    """
    return is_held(folder / LOCK_FILE)


def read_mark(folder: Path) -> RunMark | None:
    """What the mark of this run folder says; None where there is none, or it is none of ours."""
    path = folder / LOCK_FILE
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                return _mark(json.loads(file.read(_LONGEST_MARK)))
    return None


def is_marked_by(folder: Path, maker: Identity) -> bool:
    """True if the mark is that user's own file, as far as users are told apart here: anybody can write any name."""
    with contextlib.suppress(OSError):
        return maker.user_id is None or (folder / LOCK_FILE).lstat().st_uid == maker.user_id
    return False


def _document(run_id: str, entry: Path, folder: Path) -> dict[str, Any]:
    pid = os.getpid()
    return {
        "dtopipe": "run", "run_id": run_id, **asdict(who_is_here()), "pid": pid, "born": birth_of(pid),
        "entry": str(entry), "folder": str(folder),
    }  # fmt: skip


def _mark(document: Any) -> RunMark | None:
    if not isinstance(document, dict) or document.get("dtopipe") != "run":
        return None
    texts = [document.get(key) for key in ("run_id", "user", "host", "boot_id", "entry")]
    user_id, pid = document.get("user_id"), document.get("pid")
    if not all(isinstance(text, str) for text in texts) or type(pid) is not int:
        return None
    if user_id is not None and type(user_id) is not int:
        return None
    run_id, user, host, boot_id, entry = map(str, texts)
    more = {key: document.get(key, "") for key in ("machine", *_MORE)}
    if not all(isinstance(text, str) and "\0" not in text for text in more.values()):
        return None
    return RunMark(run_id, Identity(user_id, user, host, boot_id, more.pop("machine")), pid, entry, **more)
