"""Which runs a server shows, by the words in its URLs. No path comes from a request: what is asked for is looked up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.broker.address import Address
from dtopipe.host.run_folder import RunFolder, runs_in, runs_in_progress
from dtopipe.host.run_life import holder_of
from dtopipe.model.errors import DtopipeError
from dtopipe.web.published import Published

_LOOKS_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Shown:
    """What is served: one run, here or at an `endpoint`, or all below `run_dir` and those in progress anywhere.

    `servers`: of NATS, whose runs of every device are listed too.
    """

    run_dir: Path
    folder: Path | None = None
    endpoint: str = ""
    server_key: Path | None = None
    insecure: bool = False
    servers: Address | None = None


def run_key(folder: Path) -> str:
    """`NAME/START`."""
    return f"{folder.parent.name}/{folder.name}"


class Runs:
    """Finds the folders of runs by their keys."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._known: dict[str, Path] = {}
        self._looked_s = 0.0
        self._published = None if shown.servers is None else Published(shown.servers)

    def folder(self, key: str) -> Path | None:
        """The folder of this run; None if there is none that is shown here."""
        if self._shown.folder is not None:
            return self._shown.folder if key == run_key(self._shown.folder) else None
        if key not in self._known and time.monotonic() - self._looked_s > _LOOKS_EVERY_S:
            self._look()
        return self._known.get(key)

    def rows(self) -> list[dict[str, Any]]:
        """Every run that is shown, newest first, as a list of runs has it."""
        if self._shown.folder is not None:
            self._known = {run_key(self._shown.folder): self._shown.folder}
        else:
            self._look()
        found = [_row(key, RunFolder(path)) for key, path in self._known.items()]
        found += () if self._published is None else self._published.rows()
        return sorted(found, key=lambda row: str(row["started_at"] or ""), reverse=True)

    def _look(self) -> None:
        self._looked_s = time.monotonic()
        found = {run_key(folder.path): folder.path for folder in runs_in(self._shown.run_dir)}
        # Of two with the same name and start, the one that goes on is the one that is meant.
        found |= {run_key(folder.path): folder.path for folder in runs_in_progress()}
        self._known = found


def _row(key: str, folder: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"run": key, "started_at": None, "samples": 0, "length_s": None, "state": "", "text": "",
                           "in_progress": False, "metadata": {}}  # fmt: skip
    try:
        record = folder.read_record()
        row |= _facts(record)
        if record.get("verdict") is None:
            holder = holder_of(folder)
            row["in_progress"] = holder is not None
            row["state"] = "in progress" if holder is not None else "INTERRUPTED"
            row["text"] = holder.words if holder is not None else "killed: dtopipe repair completes its record"
    except (DtopipeError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        row |= {"state": "unreadable", "text": error.headline if isinstance(error, DtopipeError) else str(error)}
    return row


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    stream, acquired = record.get("stream") or {}, record["acquired"]
    rate_hz = stream.get("rate_hz")
    verdict = record.get("verdict") or {}
    return {
        "started_at": record["started_at"],
        "samples": int(acquired["samples"]),
        "length_s": int(acquired["end_sample_index"]) / float(rate_hz) if rate_hz else None,
        "channels": [channel["name"] for channel in stream.get("channels", ())],
        "state": verdict.get("state", ""),
        "text": verdict.get("text", ""),
        "metadata": dict(record.get("metadata") or {}),
    }
