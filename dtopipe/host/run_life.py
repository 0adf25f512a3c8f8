"""Whether a run without a verdict is over, as far as can be seen from here, and whether this user may complete it."""

from __future__ import annotations

from dataclasses import dataclass

from dtopipe.host.identity import who_is_here
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_lock import LOCK_FILE, read_mark, run_lock_is_held
from dtopipe.host.runtime import entries
from dtopipe.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class Holder:
    """Who still has a run, in words that follow the run's name, and what to do about it."""

    words: str
    remedy: str


def holder_of(folder: RunFolder) -> Holder | None:
    """Who has this run, which has no verdict; None if nobody has it any more: it was killed. Writes nothing.

    Raises UsageError if that cannot be seen.
    """
    here, mark = who_is_here(), read_mark(folder.path)
    entry = folder.entry()
    is_locked = run_lock_is_held(folder.path)
    if is_locked and mark is not None and not mark.maker.is_same_user(here):
        return Holder(f"in progress, a run of {mark.maker.user or 'another user'}", "wait for its end")
    if is_locked or (entry is not None and entry.supervisor_is_alive()):
        return Holder("in progress", f"end it with: dtopipe stop {folder.path}")
    if entry is not None and entry.anybody_is_alive():
        return Holder(
            "in progress: its supervisor was killed, and the others write what was acquired", "wait for their end"
        )
    if mark is not None and not mark.maker.is_same_host(here):
        return Holder(
            f"in progress on {mark.maker.host}, as far as can be seen from here",
            f"look at it there; if that run is gone for good, or this is a copy, delete {folder.path / LOCK_FILE}",
        )
    return None


def ensure_over(folder: RunFolder) -> None:
    """Raises UsageError if somebody still has this run."""
    holder = holder_of(folder)
    if holder is not None:
        raise UsageError(f"{folder.path} is still {holder.words}\n    {holder.remedy}")


def ensure_ours_to_complete(folder: RunFolder, run_id: str) -> None:
    """Raises UsageError unless the run is over, no copy of one that goes on, and this user's."""
    ensure_over(folder)
    mark = read_mark(folder.path)
    # A run that follows another one has that one's id in its record, and its own in its mark.
    own_id = run_id if mark is None else mark.run_id
    for entry in entries():
        facts = entry.read()
        if facts and facts.run_id == own_id and entry.anybody_is_alive():
            raise UsageError(
                f"{folder.path} is a copy of a run that is still in progress, in {facts.run_folder}\n"
                f"    once that has ended, copy it anew: dtopipe stop {facts.run_folder}"
            )
    if mark is not None and not mark.maker.is_same_user(who_is_here()):
        raise UsageError(
            f"{folder.path} is a killed run of {mark.maker.user or 'another user'}, whose record is not complete\n"
            f"    let them type: dtopipe repair {folder.path}; if it is yours now, delete {folder.path / LOCK_FILE}"
        )
