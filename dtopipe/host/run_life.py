"""Whether a run without a verdict is over, as far as can be seen from here, and what this user may do about it.

It is asked of the run folder, whose lock the run's supervisor holds: sessions, users and hosts see the same there.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from dtopipe.host.identity import Identity, who_is_here
from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_lock import LOCK_FILE, RunMark, is_marked_by, read_mark, run_lock_is_held
from dtopipe.host.runtime import EntryFacts
from dtopipe.model.errors import UsageError

_IN_PROGRESS = "in progress"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that still has a run, in words that follow the run's name, and what to do about it.

    `is_seen`: false where nobody can tell from here. `has_it`: false for a run that only its copy has.
    """

    words: str
    remedy: str
    is_seen: bool = True
    has_it: bool = True

    def error(self, folder: RunFolder) -> UsageError:
        """The error for what has to wait until the run is over."""
        still = "still " if self.has_it else ""
        return UsageError(f"{folder.path} is {still}{self.words}", self.remedy)


def holder_of(folder: RunFolder) -> Holder | None:
    """The holder of this run, which has no verdict; None if it has none any more: it was killed. Writes nothing."""
    here, mark = who_is_here(), read_mark(folder.path)
    if mark is not None and not mark.maker.is_same_host(here):
        gone = f"if that run is gone for good, or this is a copy, delete {folder.path / LOCK_FILE}"
        return _as_far_as_seen(mark.maker.host, f"look at it there; {gone}")
    try:
        is_locked = run_lock_is_held(folder.path)
        others_live = LifeLocks(folder.path).anybody_is_alive()
    except OSError as error:
        ask = "ask its owner, or let them allow you to read it"
        return _as_far_as_seen(_recorded_host(folder), f"{error.filename}: {error.strerror}: {ask}")
    lives = mark is not None and mark.supervisor_lives()
    if mark is not None and lives and not is_locked and not mark.is_of(folder.path):
        return Holder(
            f"a copy of a run that is still in progress, in {mark.folder}",
            f"once that has ended, copy it anew: dtopipe stop {mark.folder}",
            has_it=False,
        )
    entry = folder.entry()
    if is_locked or lives or (entry is not None and entry.supervisor_is_alive()):
        if mark is not None and not _is_heard(mark, here):
            words = f"{_IN_PROGRESS}, a run of {mark.maker.user or 'another user'}"
            return Holder(words, f"end it with: {_as_its_user(mark, 'stop', folder)}")
        return Holder(_IN_PROGRESS, f"end it with: dtopipe stop {folder.path}")
    if others_live or (entry is not None and entry.anybody_is_alive()):
        return Holder(
            f"{_IN_PROGRESS}: its supervisor was killed, and the others write what was acquired", "wait for their end"
        )
    return None


def reached(folder: RunFolder) -> EntryFacts | None:
    """How the run's supervisor is spoken with; None if it has none, or none that this user on this host can reach."""
    entry = folder.entry()
    if entry is not None and entry.supervisor_is_alive() and (facts := entry.read()) is not None:
        return facts
    here, mark = who_is_here(), read_mark(folder.path)
    if mark is None or not mark.control or not mark.maker.is_same_host(here) or not _is_heard(mark, here):
        return None
    with contextlib.suppress(OSError):
        # Whoever completes the record of a killed run holds the lock too.
        if is_marked_by(folder.path, mark.maker) and run_lock_is_held(folder.path) and mark.may_live():
            return EntryFacts.of(
                {
                    "run_id": mark.run_id,
                    "name": folder.path.parent.name,
                    "run_folder": str(folder.path),
                    "started_at": mark.started_at,
                    "pid": mark.pid,
                    "control": mark.control,
                    "other_control": mark.other_control,
                    "segment": mark.segment,
                    "held": mark.held,
                }
            )
    return None


def ensure_reached(folder: RunFolder, command: str) -> None:
    """Raises UsageError if somebody has this run whom this user, here, cannot speak with; says what to type."""
    mark = read_mark(folder.path)
    if reached(folder) is not None or folder.read_record().get("verdict") is not None:
        return
    holder = holder_of(folder)
    if holder is not None and mark is not None and not _is_heard(mark, who_is_here()):
        raise UsageError(f"{folder.path} is {holder.words}", _as_its_user(mark, command, folder))
    if holder is not None:
        raise holder.error(folder)


def ensure_over(folder: RunFolder) -> None:
    """Raises UsageError if somebody still has this run."""
    holder = holder_of(folder)
    if holder is not None:
        raise holder.error(folder)


def ensure_ours_to_complete(folder: RunFolder) -> None:
    """Raises UsageError unless the run is over, no copy of one that goes on, and this user's."""
    ensure_over(folder)
    mark = read_mark(folder.path)
    if mark is not None and not mark.maker.is_same_user(who_is_here()):
        raise UsageError(
            f"{folder.path} is a killed run of {mark.maker.user or 'another user'}, whose record is not complete",
            f"let them type, or type: {_as_its_user(mark, 'repair', folder)}\n"
            f"    if it is yours now, delete {folder.path / LOCK_FILE}",
        )


def _is_heard(mark: RunMark, here: Identity) -> bool:
    """True for who may speak with the run: its user, and root."""
    return here.is_root or mark.maker.is_same_user(here)


def _as_its_user(mark: RunMark, command: str, folder: RunFolder) -> str:
    return f"sudo -u {mark.maker.sudo_name} dtopipe {command} {folder.path}"


def _as_far_as_seen(host: str, remedy: str) -> Holder:
    return Holder(f"{_IN_PROGRESS} on {host}, as far as can be seen from here", remedy, is_seen=False)


def _recorded_host(folder: RunFolder) -> str:
    with contextlib.suppress(UsageError):
        host = folder.read_record().get("host")
        name = host.get("name") if isinstance(host, dict) else None
        if isinstance(name, str) and name:
            return name
    return "another host"
