"""What a single key cannot show to be wrong: names that clash, outputs that meet, rings that do not fit."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from dtopipe.model.errors import Place, Problem
from dtopipe.model.plan import RunPlan, SinkPlan
from dtopipe.model.policy import Layout, OnExists
from dtopipe.topology.cost import estimate, sized
from dtopipe.topology.problems import nearest, place_of

FIXED_COLUMNS = ("sample_index", "t_mono_ns", "t_utc", "t_utc_ns", "run")
# Logs are named after sinks, folders after runs: on every system.
_FILE_NAME = re.compile(r"[^\x00-\x1f/\\:*?\"<>|.]([^\x00-\x1f/\\:*?\"<>|]*[^\x00-\x1f/\\:*?\"<>|. ])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def check_plan(plan: RunPlan, channels: Sequence[str] | None, places: Mapping[str, Place]) -> list[Problem]:
    """Every problem of a plan whose parts are right; `channels` is None where they are not known yet."""
    found = [
        *_names(plan),
        *_metadata(plan),
        *(() if channels is None else _channels(plan, channels)),
        *_outputs(plan),
        *_ring(plan),
        *_disk(plan),
    ]
    return [Problem(place_of(key, places), key, message, remedy) for key, message, remedy in found]


_Found = Iterator[tuple[str, str, str]]


def _names(plan: RunPlan) -> _Found:
    for key, name in (("name", plan.name), *((f"sinks.{sink.name}", sink.name) for sink in plan.sinks)):
        if not _FILE_NAME.fullmatch(name) or _RESERVED.fullmatch(name):
            yield key, f"{name!r} cannot be a file's name on every system", "use letters, digits, - and _"
    for sink in plan.sinks:
        if sink.name in ("acquirer", "supervisor"):
            yield f"sinks.{sink.name}", f"{sink.name} is a process of every run", "choose another name"


def _metadata(plan: RunPlan) -> _Found:
    for key, value in plan.metadata.items():
        if value is None:
            yield f"metadata.{key}", "must be given for each run", f"add --meta {key}=..."


def _channels(plan: RunPlan, names: Sequence[str]) -> _Found:
    counts = Counter(names)
    for number, name in enumerate(names):
        key = f"task.channels[{number}].name"
        if counts[name] > 1 and names.index(name) < number:
            yield key, f"two channels are named {name!r}", "rename one of them"
        if name in FIXED_COLUMNS:
            yield key, f"{name!r} is a column of every output", "rename this channel"
        if "\0" in name:
            yield key, "a name must not hold a NUL character", "rename this channel"
    for sink in plan.sinks:
        for number, name in enumerate(sink.channels or ()):
            if name not in counts:
                yield f"sinks.{sink.name}.channels[{number}]", f"there is no channel {name!r}", nearest(name, names)
            elif name in (sink.channels or ())[:number]:
                yield f"sinks.{sink.name}.channels[{number}]", f"{name!r} stands here twice", "take one out"
        if sink.type == "sqlite" and sink.layout is Layout.WIDE:
            yield from _alike_but_for_case(sink, names)


def _alike_but_for_case(sink: SinkPlan, names: Sequence[str]) -> _Found:
    seen: dict[str, str] = {column.lower(): column for column in FIXED_COLUMNS}
    for number, name in enumerate(sink.channels or names):
        # SQLite folds ASCII letters only.
        folded = "".join(letter.lower() if letter.isascii() else letter for letter in name)
        other = seen.setdefault(folded, name)
        if other != name:
            key = f"task.channels[{number}].name"
            yield key, f"{name!r} and {other!r} are the same column in SQLite (sink {sink.name})", "rename one of them"


def _outputs(plan: RunPlan) -> _Found:
    taken: dict[str, str] = {}
    for sink in plan.sinks:
        if sink.path is None:
            continue
        key = f"sinks.{sink.name}.path"
        path = Path(sink.path)
        one = _identity(path)
        if one in taken and not (sink.type == "sqlite" and sink.on_exists is OnExists.APPEND):
            yield key, f"sink {taken[one]} writes to {sink.path} too", "give each sink a path of its own"
        taken.setdefault(one, sink.name)
        if sink.path.endswith(".dtopipe"):
            yield key, "a name that ends in .dtopipe is a commit record's", "choose another name"
        if path.is_absolute():
            yield from _absolute_output(sink, path, key)
    yield from _run_folder(plan)


def _absolute_output(sink: SinkPlan, path: Path, key: str) -> _Found:
    if path.is_dir():
        yield key, f"{path} is a folder", "name a file in it"
    elif path.exists() and sink.on_exists is OnExists.ERROR:
        yield key, f"{path} exists already", "move it away, or set on_exists: rename, overwrite or append"
    elif path.exists() and sink.on_exists is OnExists.APPEND and sink.type in ("hbuf", "parquet"):
        yield key, f"a {sink.type} file holds one run", "set on_exists: rename or overwrite"
    elif not path.parent.is_dir():
        yield key, f"there is no folder {path.parent}", "make it, or choose another path"
    elif not os.access(path.parent, os.W_OK):
        yield key, f"the folder {path.parent} cannot be written to", "choose another path, or change its permissions"


def _run_folder(plan: RunPlan) -> _Found:
    there = plan.run_root
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        yield "run_dir", f"{there} is not a folder", "choose another place with --run-dir"
    elif not os.access(there, os.W_OK):
        yield "run_dir", f"{there} cannot be written to", "choose another place with --run-dir"


def _identity(path: Path) -> str:
    """The same text for two spellings of one file; outputs of the run folder among themselves."""
    text = str(path.resolve()) if path.is_absolute() else os.path.normpath(path)
    return text.casefold() if sys.platform in ("win32", "darwin") else text


def _ring(plan: RunPlan) -> _Found:
    if plan.board.task is None and plan.board.type != "replay":
        return
    if not sized(plan):
        return
    cost = estimate(plan)
    free = free_shared_memory()
    if cost.ring_bytes > free:
        yield (
            "ring",
            f"a ring of {cost.ring_bytes / 2**20:.1f} MiB ({cost.ring_seconds:g} s) does not fit into the "
            f"{free / 2**20:.1f} MiB of shared memory that are free",
            f"set ring: {{bytes: {max(1, int(free * 0.8 // 2**20))}MiB}} or fewer seconds, or free shared memory",
        )


def _disk(plan: RunPlan) -> _Found:
    """A run of a known length that the disk cannot take is not begun."""
    if plan.duration_s is None or not sized(plan):
        return
    cost = estimate(plan)
    needed_gb = cost.disk_gb_per_hour * plan.duration_s / 3600
    if needed_gb > cost.disk_free_gb:
        yield (
            "duration",
            f"this run would write about {needed_gb:.3g} GB, and {cost.disk_free_gb:.3g} GB are free",
            "shorten it, take out a sink, or choose another disk with --run-dir",
        )


def free_shared_memory() -> int:
    """Bytes that a ring may take."""
    if Path("/dev/shm").is_dir():  # noqa: S108  (where Linux keeps POSIX shared memory)
        return min(shutil.disk_usage("/dev/shm").free, psutil.virtual_memory().available)  # noqa: S108
    return int(psutil.virtual_memory().available)
