"""Which runs of this user are in progress, for sessions that do not see each other's runtime folders.

A small file a run in the user's state folder (`~/.local/state/dtopipe/runs`), made with the run and taken away with it,
names its folder: whether it lives is told there. Where there is no such folder, a run is found by its own folder only;
where DTOPIPE_RUNTIME_DIR is set, its user has chosen who is to see what.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from dtopipe.host.system_errors import replace_file

_LONGEST = 2**16
_SUFFIX = ".run"


class KnownRun:
    """The file of one run, `name` one that no other has."""

    def __init__(self, name: str) -> None:
        self._name = name

    def note(self, run_folder: Path) -> None:
        """It is in progress there. Never raises: it is found by its folder still."""
        folder = _folder()
        if folder is None:
            return
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / f"{self._name}{_SUFFIX}"
            draft = path.with_suffix(".new")
            draft.write_text(f"{socket.gethostname()}\n{run_folder}\n", encoding="utf-8", errors="surrogateescape")
            replace_file(draft, path)

    def forget(self) -> None:
        """It is over."""
        folder = _folder()
        if folder is not None:
            with contextlib.suppress(OSError):
                (folder / f"{self._name}{_SUFFIX}").unlink(missing_ok=True)


def known_runs() -> Iterator[Path]:
    """The folders of runs that were begun on this host and have not ended in order, as far as is known here."""
    for _, run_folder in _listed():
        yield run_folder


def forget_ended_runs(lock_file: str) -> None:
    """It forgets runs that were killed, and are complete by now, or gone. Never raises."""
    for path, run_folder in _listed():
        with contextlib.suppress(OSError):
            if run_folder.parent.is_dir() and not (run_folder / lock_file).exists():
                path.unlink(missing_ok=True)


def _listed() -> list[tuple[Path, Path]]:
    folder, found = _folder(), []
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob(f"*{_SUFFIX}")) if folder is not None else ():
            with contextlib.suppress(OSError):
                text = path.read_bytes()[:_LONGEST].decode("utf-8", errors="surrogateescape")
                host, _, run_folder = text.removesuffix("\n").partition("\n")
                # A home may be shared: another host's are looked at there.
                if host == socket.gethostname() and "\0" not in run_folder and Path(run_folder).is_absolute():
                    found.append((path, Path(run_folder)))
    return found


def _folder() -> Path | None:
    """None where it is not to be used, or would be another user's, as that of who types `sudo` may be."""
    if os.environ.get("DTOPIPE_RUNTIME_DIR"):
        return None
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path(platformdirs.user_state_dir("dtopipe", appauthor=False)) / "runs"
        if not folder.is_absolute():
            return None
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not hasattr(os, "getuid") or there.stat().st_uid == os.getuid():
            return folder
    return None
