"""The run folder: where a run's record and outputs are."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dtopipe.model.errors import UsageError

_LATEST = "latest"
# On Windows a file that somebody reads cannot be replaced for that moment.
_REPLACE_TRIES = 50


class RunFolder:
    """`<run_dir>/<name>/<UTC start>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, root: Path, name: str, started: datetime) -> RunFolder:
        """Make the folder of a run that starts now; a second one in the same second ends in `-2`. Raises UsageError."""
        stamp = f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        number = 1
        while True:
            path = root / name / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                number += 1
            except OSError as error:
                raise UsageError(
                    f"the run folder {path} cannot be made: {error.strerror}\n"
                    "    choose another place with --run-dir or run_dir: in the topology"
                ) from error
            else:
                (path / "logs").mkdir()
                return cls(path)

    @property
    def record_path(self) -> Path:
        """`run.json`."""
        return self.path / "run.json"

    def log_path(self, process: str) -> Path:
        """The log of one process."""
        return self.path / "logs" / f"{process}.log"

    def become_latest(self) -> None:
        """Name this run in `latest`, beside it."""
        replace_text(self.path.parent / _LATEST, self.path.name + "\n")

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace `run.json` atomically."""
        replace_text(self.record_path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    def remove(self) -> None:
        """Take back a folder of a run that never started, and its parent if that is empty then."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


def replace_text(path: Path, text: str) -> None:
    """Replace a file by one with this text: readers see the old or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    with draft.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    for tries_left in reversed(range(_REPLACE_TRIES)):
        try:
            draft.replace(path)
        except PermissionError:
            if not tries_left:
                raise
            time.sleep(0.01)
        else:
            return
