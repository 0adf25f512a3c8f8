"""The lock and mark in a run folder: whose run it is, and that it goes on.

A run's supervisor holds the lock on `run.lock` for the life of the run, and whoever completes the record of a killed
run holds it meanwhile. What is in the file tells who made it, on which host. It goes with the verdict; killed runs of
older versions have none either.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dtopipe.host.identity import Identity, who_is_here
from dtopipe.host.lock import FileLock, LockHeld, is_held
from dtopipe.model.errors import SinkError, UsageError

LOCK_FILE = "run.lock"
_LONGEST_MARK = 2**16


@dataclass(frozen=True, slots=True)
class RunMark:
    """What `run.lock` says: the run, who made it and where, its supervisor's process and runtime entry."""

    run_id: str
    maker: Identity
    pid: int
    entry: str


class RunLock:
    """The lock of one run folder, not yet held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK_FILE)

    def hold(self, run_id: str, entry: Path) -> None:
        """For the life of a run that begins now. Raises UsageError where the folder's file system knows no locks."""
        try:
            self._lock.acquire()
            self._lock.path.write_text(json.dumps(_document(run_id, entry)) + "\n", encoding="utf-8")
        except OSError as error:
            self._lock.release()
            raise UsageError(
                f"the run folder {self._folder} cannot be locked: {error.strerror or error}\n"
                "    choose another place with --run-dir or run_dir: in the topology"
            ) from error

    def hold_to_complete(self) -> None:
        """While a killed run's record is completed. Raises UsageError if somebody has it, SinkError."""
        try:
            self._lock.acquire()
        except LockHeld as error:
            raise UsageError(
                f"{self._folder} is held by its run, or by another command that completes it\n    try again in a moment"
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


def run_lock_is_held(folder: Path) -> bool:
    """True while the run in this folder has its supervisor, or its record is being completed. Raises UsageError."""
    try:
        return is_held(folder / LOCK_FILE)
    except OSError as error:
        raise UsageError(
            f"whether {folder} is in progress cannot be seen: {LOCK_FILE}: {error.strerror}\n"
            "    ask its owner, or let them allow you to read it"
        ) from error


def read_mark(folder: Path) -> RunMark | None:
    """What the mark of this run folder says; None where there is none, or it is none of ours."""
    path = folder / LOCK_FILE
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                return _mark(json.loads(file.read(_LONGEST_MARK)))
    return None


def _document(run_id: str, entry: Path) -> dict[str, Any]:
    return {"dtopipe": "run", "run_id": run_id, **asdict(who_is_here()), "pid": os.getpid(), "entry": str(entry)}


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
    return RunMark(run_id, Identity(user_id, user, host, boot_id), pid, entry)
