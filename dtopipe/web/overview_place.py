"""Where the overview of an output is kept, and of what it was made: one that is of something else is not believed.

It is a hidden file in the run folder, `.overview-SINK.dtopipe`; where that folder is another user's, or may not be
written into, in the user's cache folder. It may be deleted at any time, and is made again when somebody looks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from dtopipe.model.identifiers import is_file_name
from dtopipe.model.shown import json_text
from dtopipe.verify.outputs import Output
from dtopipe.web.overview import MAGIC, Overview

_PREFIX, _SUFFIX = ".overview-", ".dtopipe"
# Of runs that lie in other places; the oldest go.
_MOST_CACHE_BYTES = 4 * 2**30


def about_of(output: Output, record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything by which an overview of this output is told from one of what it was before. Raises OSError."""
    sink = (record.get("topology") or {}).get("sinks", {}).get(output.name)
    told = json_text({"stream": record.get("stream"), "topology": sink, "sink": output.record})
    return {
        "run_id": output.run_id,
        "output": output.name,
        "told": hashlib.sha256(told.encode(errors="replace")).hexdigest(),
        "files": _files(output),
    }


def _files(output: Output) -> list[list[Any]]:
    """Name, size and time of every file that the output may consist of; of a database there is none here."""
    if output.path is None:
        return []
    beginning = output.path.name.partition("{")[0] if output.part_samples else output.path.stem
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(output.path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(beginning) and not entry.name.startswith(_PREFIX) and entry.is_file():
                seen = entry.stat()
                found.append([entry.name, seen.st_size, seen.st_mtime_ns])
    return sorted(found)


def places_of(folder: Path, sink: str) -> Iterator[Path]:
    """Where it may be, the best first. Nothing is made."""
    is_ours = not hasattr(os, "geteuid") or folder.stat().st_uid == os.geteuid()
    if is_ours and os.access(folder, os.W_OK) and is_file_name(sink):
        yield folder / f"{_PREFIX}{sink}{_SUFFIX}"
    name = hashlib.sha256(f"{folder}\n{sink}".encode(errors="surrogateescape")).hexdigest()[:32]
    yield cache_folder() / f"{name}{_SUFFIX}"


def cache_folder() -> Path:
    """Of this user, for the overviews of runs into whose folder nothing may be written."""
    return Path(platformdirs.user_cache_dir("dtopipe")) / "overviews"


def found_overview(folder: Path, sink: str, about: Mapping[str, Any]) -> Overview | None:
    """The overview that was made of just this; None where it is to be made."""
    for path in places_of(folder, sink):
        with contextlib.suppress(OSError, ValueError):
            if stat.S_ISREG(path.lstat().st_mode):
                overview = Overview(path)
                if overview.about == about:
                    return overview
    return None


def may_be_replaced(path: Path) -> bool:
    """True if nothing is there, or an overview; what anybody else has put there under this name stays. Raises OSError.

    A link is not followed.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return True
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def clear_cache(kept: Path) -> None:
    """Delete the oldest overviews of the cache until the rest is no more than it may be. Never raises."""
    with contextlib.suppress(OSError):
        found = sorted(cache_folder().glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in found:
            total += path.stat().st_size
            if total > _MOST_CACHE_BYTES and path != kept:
                path.unlink()
