"""Whether a path of a record may be used: it lies inside of the run folder, by its words and by where links lead."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dtopipe.host.closed import closed, is_closed
from dtopipe.host.file_names import trouble_of_name
from dtopipe.model.errors import UsageError

# What the supervisor and `repair` write into a run folder.
OWN_FILES = (
    "run.json", "topology.yaml", "gaps.jsonl", "events.jsonl", "clock.jsonl", "instruments.jsonl", "logs", "run.lock",
)  # fmt: skip
_DRAFTS_AND_RESCUED = (".", "rescued.", "fetched-")
COMMIT_RECORD = ".dtopipe"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a recorded path is not used. `is_outside`: the run's own user may have meant it so."""

    message: str
    is_outside: bool = False


def fault_of(folder: Path, path: str) -> Fault | None:
    """What keeps this path of a record from being used, judged by its words and by where links lead; None if nothing.

    The output's own files beside it are looked at too: its commit record, its segments, what repairs it. What is not
    there yet is no fault. Nothing is opened.
    """
    given = Path(path)
    if not given.parts or "\0" in path:
        return Fault("has no path that can be")
    if ".." in given.parts:
        return Fault(f"leads out of the run folder: {path}")
    if trouble := trouble_of_name(path):
        return Fault(f"has a name that cannot be: {trouble}")
    if given.is_absolute() or given.drive or given.root:
        return Fault(f"lies outside of the run folder: {path}", is_outside=True)
    if given.parts[0].casefold() in OWN_FILES or given.name.endswith(COMMIT_RECORD):
        return Fault(f"is a file of the run itself: {path}")
    place = folder / given
    try:
        its_own = _linked_files(place.parent, (place.stem + ".", place.name + "-", place.name))
        return _first_fault(folder, [place.parent, place, *its_own])
    except OSError as error:
        return Fault(f"cannot be looked at: {path} ({error.strerror})")


def ensure_own_files(folder: Path) -> None:
    """Raises UsageError if a file that a run has for itself leads out of the folder, or is a pipe or a device."""
    try:
        files = _linked_files(folder, (*OWN_FILES, *_DRAFTS_AND_RESCUED))
        # Logs that may not be looked at lead nobody anywhere.
        logs = [] if is_closed(folder / "logs") else _linked_files(folder / "logs", ("",))
        fault = _first_fault(folder, [*files, *logs])
    except PermissionError as error:
        raise closed(folder) from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be looked at: {error.strerror}") from error
    if fault:
        raise UsageError(f"{folder} is not a run folder as dtopipe makes it: a file {fault.message}")


def _first_fault(folder: Path, files: Iterable[Path]) -> Fault | None:
    root = Path(os.path.realpath(folder))
    for file in files:
        real = Path(os.path.realpath(file))
        if special := special_fault(file):
            return special
        if real != root and root not in real.parents:
            return Fault(f"lies outside of the run folder: {file} is a link to {real}, and is not followed")
    return None


def special_fault(file: Path) -> Fault | None:
    """None for a file, a folder and nothing: opening a pipe waits for ever, and a device does what it does."""
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Fault(f"cannot be looked at: {file} ({error.strerror})")
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else Fault(f"is neither a file nor a folder: {file}")


def _linked_files(folder: Path, beginnings: tuple[str, ...]) -> list[Path]:
    """What is in the folder under such names and is no plain file by itself."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        return [
            Path(each.path)
            for each in found
            if each.name.startswith(beginnings) and not each.is_file(follow_symlinks=False)
        ]
