"""What is in the user's runtime folder: one entry a run in progress, gone when the run is.

An entry holds the lock of the run's supervisor, local sockets, and `entry.json`, which says where the run is and how it
is spoken with. What the run itself needs is not here: a session's end, or whoever cleans temporary folders, takes it
away, and the supervisor makes it anew. It carries a mark from its first instant; what a killed run leaves here tells
the user's next `up`, `stop` or `repair` what to clear away. What does not carry the mark is never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dtopipe.host.identity import who_is_here
from dtopipe.host.known_runs import known_runs
from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.lock import FileLock, LockHeld, is_held
from dtopipe.host.run_lock import read_mark
from dtopipe.host.runtime_folder import chosen_folder, runtime_dir, seen_runtime_dir
from dtopipe.host.system_errors import patiently, replace_file
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.identifiers import is_own_run_id

_ENTRY_FILE, _DRAFT_FILE = "entry.json", "entry.json.new"
_MARK_FILE, _MARK = "dtopipe-run", b"a run of dtopipe, which clears it away itself\n"
_SUPERVISOR = "supervisor"
_ENTRY_NAME = re.compile(r"[0-9a-f]{8}")
# Of what is in an entry besides its sockets, and of what is beside the entries.
_HELD_BY_AN_ENTRY = re.compile(r"entry\.json(\.new)?|[^/]+\.(lock|subscriber)")
_BESIDE_ENTRIES = re.compile(r"dtopipe\.lock|board-[^/]+\.lock")
_LONGEST_FACTS = 2**16
_MAKING_LIMIT_S = 5.0
# Whoever follows the run may leave a file between our look and the folder's removal.
_REMOVE_TRIES = 3
# An entry that comes or goes may be no longer one thing, and not yet the other, while it is looked at.
_LOOKS = 5


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
    other_control: str = ""
    held: str = ""

    @classmethod
    def of(cls, document: Any) -> EntryFacts | None:
        """The facts from JSON; None unless everything is of its kind."""
        if not isinstance(document, dict):
            return None
        told = {key: document[key] for key in cls.__dataclass_fields__ if key in document}
        pid = told.get("pid")
        texts = [value for key, value in told.items() if key != "pid"]
        if type(pid) is not int or pid <= 0 or not all(isinstance(text, str) and "\0" not in text for text in texts):
            return None
        try:
            facts = cls(**told)
        except TypeError:
            return None
        is_sound = is_own_run_id(facts.run_id) and Path(facts.run_folder).is_absolute()
        return facts if is_sound else None


class RuntimeEntry:
    """One run's folder in the runtime folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls) -> tuple[RuntimeEntry, FileLock]:
        """A new entry, and the supervisor's lock on it, which is held. Raises UsageError, with the way out."""
        folder = runtime_dir()
        # First of all: not even a lock file is made among the things of somebody else.
        ensure_only_ours(folder)
        with _making(folder):
            entry = cls(folder / secrets.token_hex(4))
            entry.folder.mkdir(mode=0o700)
            (entry.folder / _MARK_FILE).write_bytes(_MARK)
            lock = entry.supervisor_lock()
            lock.acquire()
        return entry, lock

    def write(self, facts: EntryFacts) -> None:
        """Replace `entry.json`."""
        draft = self.folder / _DRAFT_FILE
        draft.write_text(json.dumps(asdict(facts)), encoding="utf-8")
        replace_file(draft, self.folder / _ENTRY_FILE)

    def read(self) -> EntryFacts | None:
        """What `entry.json` says; None if the entry is not complete."""
        try:
            return EntryFacts.of(json.loads(_bytes_of(self.folder / _ENTRY_FILE)))
        except (ValueError, RecursionError):
            return None

    def supervisor_lock(self) -> FileLock:
        """The supervisor's, not yet acquired."""
        return FileLock(self.folder / f"{_SUPERVISOR}.lock")

    def supervisor_is_alive(self) -> bool:
        """True if the run has its supervisor."""
        with contextlib.suppress(OSError):
            return is_held(self.folder / f"{_SUPERVISOR}.lock")
        return False

    def anybody_is_alive(self) -> bool:
        """True if any process of the run lives, or if that cannot be seen."""
        try:
            if any(is_held(path) for path in self.folder.glob("*.lock")):
                return True
            facts = self.read()
            return facts is not None and LifeLocks(Path(facts.run_folder)).anybody_is_alive()
        except OSError:
            return True

    def make_again(self) -> FileLock:
        """The supervisor's lock on an entry that was taken away from it. Raises UsageError, OSError."""
        with _making(runtime_dir() if self.folder.parent == chosen_folder() else self.folder.parent):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / _MARK_FILE).write_bytes(_MARK)
            lock = self.supervisor_lock()
            lock.acquire()
        return lock

    def is_whole(self) -> bool:
        """False if somebody has taken something of it away."""
        return all(os.path.lexists(self.folder / name) for name in (_MARK_FILE, _ENTRY_FILE))

    def remove(self) -> None:
        """Take the entry away, with what entries hold and nothing else; harmless when it is gone. Never raises."""
        mark = self.folder / _MARK_FILE
        with contextlib.suppress(OSError):
            for _ in range(_REMOVE_TRIES):
                for path in list(self.folder.iterdir()):
                    if path != mark and _is_of_an_entry(path):
                        patiently(partial(path.unlink, missing_ok=True))
                if any(path != mark for path in self.folder.iterdir()):
                    continue
                # Last: a folder that keeps something else must stay known as ours.
                mark.unlink(missing_ok=True)
                try:
                    # On Windows whoever looks into it keeps it for that moment.
                    patiently(self.folder.rmdir)
                except OSError:
                    mark.write_bytes(_MARK)
                else:
                    return

    def remove_if_abandoned(self) -> None:
        """Take away what a supervisor left that was killed before it had written `entry.json`."""
        with contextlib.suppress(DtopipeError), _making(self.folder.parent):
            # Nobody is making an entry now: one that no process holds has lost its maker.
            if self.read() is None and not self.anybody_is_alive():
                self.remove()


def entries() -> Iterator[RuntimeEntry]:
    """Every entry of this user, of runs that live and of runs that were killed, in any session. Makes nothing."""
    folder, seen = seen_runtime_dir(), set()
    for path in _listed(folder) if folder is not None else ():
        if _is_entry(path):
            seen.add(path)
            yield RuntimeEntry(path)
    for run_folder in known_runs():
        mark = read_mark(run_folder)
        entry = None if mark is None else entry_at(Path(mark.entry))
        if entry is not None and entry.folder not in seen:
            seen.add(entry.folder)
            yield entry


def entry_at(folder: Path) -> RuntimeEntry | None:
    """The entry that is there, of another session it may be; None unless it is this user's, or root looks."""
    if not folder.is_absolute() or not _is_entry(folder, of_anybody=who_is_here().is_root):
        return None
    return RuntimeEntry(folder)


def ensure_only_ours(folder: Path) -> None:
    """Raises UsageError if there is anything in the runtime folder that is not dtopipe's."""
    for path in _listed(folder):
        if not any(_is_ours_or_gone(path) for _ in range(_LOOKS)):
            raise UsageError(
                f"the runtime folder {folder} has something in it that is not dtopipe's: {path.name}",
                "set DTOPIPE_RUNTIME_DIR to an empty folder of your own, or move that away",
            )


def _is_ours_or_gone(path: Path) -> bool:
    is_ours = _is_entry(path) or _is_begun_entry(path) or _is_plain_file(path, _BESIDE_ENTRIES)
    return is_ours or not os.path.lexists(path)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _is_entry(path: Path, *, of_anybody: bool = False) -> bool:
    """True if it carries our mark; entries of dtopipe 0.1 have none, but sound facts."""
    if not _has_an_entry_name(path, of_anybody=of_anybody):
        return False
    return _bytes_of(path / _MARK_FILE) == _MARK or RuntimeEntry(path).read() is not None


def _is_begun_entry(path: Path) -> bool:
    """True if nothing is in it but the beginning of a mark: its maker is at it, or was killed. It is left alone."""
    if not _has_an_entry_name(path):
        return False
    return _listed(path) in ([], [path / _MARK_FILE]) and _MARK.startswith(_bytes_of(path / _MARK_FILE))


def _has_an_entry_name(path: Path, *, of_anybody: bool = False) -> bool:
    try:
        seen = path.lstat()
    except OSError:
        return False
    is_ours = of_anybody or not hasattr(os, "getuid") or seen.st_uid == os.getuid()
    return _ENTRY_NAME.fullmatch(path.name) is not None and stat.S_ISDIR(seen.st_mode) and is_ours


def _is_of_an_entry(path: Path) -> bool:
    return stat.S_ISSOCK(path.lstat().st_mode) or _is_plain_file(path, _HELD_BY_AN_ENTRY)


def _is_plain_file(path: Path, name: re.Pattern[str]) -> bool:
    return name.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def _bytes_of(path: Path) -> bytes:
    """A small file of ours; nothing where it cannot be read or is no such file."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(path.lstat().st_mode):
            # It may be replaced just now.
            with patiently(lambda: path.open("rb")) as file:
                return file.read(_LONGEST_FACTS)
    return b""


@contextlib.contextmanager
def _making(folder: Path) -> Iterator[None]:
    """One at a time makes or judges entries that are not complete. Raises UsageError."""
    lock = FileLock(folder / "dtopipe.lock")
    try:
        lock.acquire(_MAKING_LIMIT_S)
    except LockHeld as error:
        raise UsageError(f"another command is starting a run in {folder}, and does not go on") from error
    except OSError as error:
        raise UsageError(
            f"the runtime folder {folder} cannot be used: {error.strerror}",
            "set DTOPIPE_RUNTIME_DIR to a folder of your own",
        ) from error
    try:
        yield
    finally:
        lock.release()
