"""Looks at a folder's file system, in a thread of its own: a share that does not answer holds nobody up."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dtopipe.host.clock import mono_ns
from dtopipe.wire.commit_snapshot import SUFFIX
from dtopipe.wire.raw_files import INDEX_SUFFIX, segment_pattern

_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class OutputSeen:
    """Bytes of one output's files: all of them, and those that wait beside it for its close (a log, a tail)."""

    n_bytes: int
    waiting_bytes: int


@dataclass(frozen=True, slots=True)
class FolderSeen:
    """One look. `outputs`: by sink; without those that are not there."""

    t_ns: int
    device: int
    free_bytes: int
    outputs: Mapping[str, OutputSeen]


class DiskProbe:
    """Measures one folder a few times a second, from its making to `stop`; `outputs`: by sink, all in this folder."""

    def __init__(self, folder: Path, outputs: Mapping[str, Path]) -> None:
        self.folder = folder
        # None while the folder is away. Replaced whole: the supervisor reads it at any time.
        self.seen: FolderSeen | None = None
        self._outputs = outputs
        self._stopped = threading.Event()
        # Nobody waits for its end, which a dead share may keep from coming.
        threading.Thread(target=self._go_on, name=f"disk of {folder.name}", daemon=True).start()

    def stop(self) -> None:
        """No further looks."""
        self._stopped.set()

    def _go_on(self) -> None:
        while not self._stopped.is_set():
            try:
                self.seen = look_at(self.folder, self._outputs)
            except OSError:
                # Unmounted, moved, or no longer ours to see: its sinks say so.
                self.seen = None
            self._stopped.wait(_LOOK_EVERY_S)


def look_at(folder: Path, outputs: Mapping[str, Path]) -> FolderSeen:
    """The folder's file system and the outputs in it, now. Raises OSError."""
    owners = {name: (path.name, segment_pattern(path)) for name, path in outputs.items()}
    sums: dict[str, tuple[int, int]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            owner = _owner(entry.name, owners)
            if owner is None:
                continue
            try:
                # Not the entry's own: NTFS brings that up to date when the file is closed.
                size = Path(entry.path).stat().st_size
            except FileNotFoundError:
                # A log or a tail that its sink has just ended.
                continue
            n_bytes, waiting = sums.get(owner, (0, 0))
            beside = entry.name[len(owners[owner][0]) :] if entry.name.startswith(owners[owner][0]) else ""
            is_waiting = beside not in ("", SUFFIX, INDEX_SUFFIX)
            sums[owner] = n_bytes + size, waiting + (size if is_waiting else 0)
    return FolderSeen(
        t_ns=mono_ns(),
        device=folder.stat().st_dev,
        free_bytes=shutil.disk_usage(folder).free,
        outputs={name: OutputSeen(*found) for name, found in sums.items()},
    )


def _owner(file: str, owners: Mapping[str, tuple[str, re.Pattern[str]]]) -> str | None:
    """The sink whose file this is: the output, a segment of it, or what is beside it, such as `run.db-wal`."""
    found = [
        name
        for name, (output, pattern) in owners.items()
        if file == output or file.startswith((f"{output}.", f"{output}-")) or pattern.fullmatch(file)
    ]
    # Of `out` and `out.csv` the longer one has `out.csv.dtopipe`.
    return max(found, key=lambda name: len(owners[name][0]), default=None)
