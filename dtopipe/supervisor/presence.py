"""Where a run is found and seen to live: the lock in its folder, its runtime entry, its name among the user's runs.

The lock in the run folder is the truth. The rest helps to find it, lies where a logout or a cleaner of temporary
folders may take it away, and is made anew then as soon as it can be.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

from dtopipe.host.clock import mono_ns
from dtopipe.host.folder_lock import FolderLock
from dtopipe.host.known_runs import KnownRun, forget_ended_runs
from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.lock import FileLock
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_lock import LOCK_FILE, RunLock
from dtopipe.host.runtime import EntryFacts, RuntimeEntry
from dtopipe.model.errors import DtopipeError
from dtopipe.transport.control import ControlServer
from dtopipe.transport.link import Keys

_LOOK_EVERY_NS = 1_000_000_000
_log = logging.getLogger("dtopipe.supervisor")


class FileIdentity:
    """The runtime entry of one run, from before it has a folder to its end."""

    def __init__(self, keys: Keys) -> None:
        """Raises UsageError."""
        self.entry, self._lock = RuntimeEntry.create()
        forget_ended_runs(LOCK_FILE)
        self._kept = FolderLock(self.entry.folder)
        self._known = KnownRun(self.entry.folder.name)
        self._keys = keys
        self._facts: EntryFacts | None = None
        self._looked_ns = mono_ns()

    def take(self, folder: RunFolder, run_id: str) -> None:
        """Hold the run folder from now on. Raises UsageError."""
        self.life = LifeLocks(folder.path)
        self._run_lock = RunLock(folder.path)
        self._run_lock.hold(run_id, self.entry.folder)
        with contextlib.suppress(OSError):
            self.life.make()
        self._known.note(folder.path)

    def serve(self) -> None:
        """Have the supervisor's end of the control plane. Raises DtopipeError."""
        self.server = ControlServer(self.entry.folder, self._keys)

    def tell(self, **facts: Any) -> None:
        """How the run is spoken with, and where its memory is."""
        links = {"control": self.server.endpoint, "other_control": self.server.other_endpoint}
        keys = {"public_key": self._keys.public, "secret_key": self._keys.secret}
        self._facts = EntryFacts(pid=os.getpid(), **links, **keys, **facts)
        self.entry.write(self._facts)
        self._tell_in_mark()

    def look(self, now_ns: int) -> None:
        """One turn: what was taken away is made anew. Never raises."""
        if now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        # A disk that is away, a home that the session took along: as soon as it is there again.
        with contextlib.suppress(OSError, DtopipeError):
            self._run_lock.ensure_in_place()
        with contextlib.suppress(OSError, DtopipeError):
            if not (self._lock.is_in_place() and self.entry.is_whole()):
                self._make_entry_again()

    def release_folder(self, *, is_concluded: bool) -> None:
        """Give the run folder back; with its mark once the verdict is in its record."""
        # Before the entry's lock, for whose end other commands wait.
        if is_concluded:
            self.life.remove()
            self._run_lock.take_away()
        else:
            self._run_lock.release()

    def end(self) -> None:
        """Nothing of the run is left to be found, but for its folder."""
        self._known.forget()
        self._kept.release()
        self._lock.release()
        self.entry.remove()

    def _make_entry_again(self) -> None:
        lock: FileLock = self.entry.make_again()
        self._lock.release()
        self._lock = lock
        self._kept.release()
        self._kept = FolderLock(self.entry.folder)
        self.server.hear_in(self.entry.folder)
        if self._facts is not None:
            facts = {name: getattr(self._facts, name) for name in ("run_id", "name", "run_folder", "started_at")}
            self.tell(**facts, segment=self._facts.segment, held=self._facts.held)
        _log.warning("the runtime entry %s was taken away, and is made anew", self.entry.folder)

    def _tell_in_mark(self) -> None:
        facts = self._facts
        if facts is None:
            return
        told = ("control", "other_control", "segment", "held", "started_at")
        with contextlib.suppress(OSError):
            # The keys of a link are for this user alone; the mark is for everybody.
            self._run_lock.tell(**{name: getattr(facts, name) for name in told})
