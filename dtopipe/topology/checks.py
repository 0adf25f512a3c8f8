"""What a single key cannot show to be wrong: names that clash, a ring or a disk that is too small, an extra missing."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from dtopipe.core.disk import bytes_text
from dtopipe.core.ring_size import FEWEST_SLOTS, bytes_before_slots
from dtopipe.host.file_limit import process_limit
from dtopipe.model.errors import SinkOptionError
from dtopipe.model.identifiers import is_file_name
from dtopipe.model.plan import ChannelPlan, RunPlan, SinkPlan
from dtopipe.model.policy import Layout
from dtopipe.model.references import referred
from dtopipe.model.sink_types import Found
from dtopipe.model.splitting import Split
from dtopipe.model.suggestions import nearest
from dtopipe.model.view import samples_a_row
from dtopipe.sinks.registry import OURS, known_sink_type
from dtopipe.sinks.rows.fixed_columns import FIXED_COLUMNS
from dtopipe.topology.cost import Cost, DiskCost, SinkCost, estimate, size_text
from dtopipe.topology.triggers import Room, trigger_problems, trigger_sizes

# File systems take 255; a log's name has an ending, a run's folder may get a number.
_LONGEST_NAME_BYTES = 200
_NO_RING_FITS = (
    "make blocks smaller (task.samples_per_block) or free shared memory; a container gets more by --shm-size"
)
# Lengths that people give to parts, the longest first.
_PARTS_S = {"24h": 86400, "12h": 43200, "6h": 21600, "1h": 3600, "30min": 1800, "15min": 900, "5min": 300, "1min": 60}
_PROCESSES = ("acquirer", "supervisor")


def check_names(name: str, sinks: Sequence[SinkPlan]) -> Found:
    """Problems (key, what, remedy) with the names of the run and of its sinks."""
    seen: dict[str, str] = {}
    for key, given in (("name", name), *((f"sinks.{sink.name}", sink.name) for sink in sinks)):
        if not is_file_name(given):
            yield key, f"{given!r} cannot be a file's name on every system", "use letters, digits, - and _"
        elif len(os.fsencode(given)) > _LONGEST_NAME_BYTES:
            yield key, f"a name has at most {_LONGEST_NAME_BYTES} bytes", "choose a shorter one"
    for sink in sinks:
        key, folded = f"sinks.{sink.name}", sink.name.casefold()
        if folded in _PROCESSES:
            yield key, f"{folded} is a process of every run", "choose another name"
        if folded in seen:
            yield key, f"{sink.name!r} is {seen[folded]!r} but for capitals: one log on some systems", "rename one"
        seen.setdefault(folded, sink.name)


def check_metadata(metadata: Mapping[str, Any]) -> Found:
    """Problems with metadata that each run must be given."""
    for key, value in metadata.items():
        if value is None:
            yield f"metadata.{key}", "must be given for each run", f"add --meta {key}=..."


def check_numbers(value: Any, key: str) -> Found:
    """Problems with numbers below `key` that no JSON can hold, and so no record of a run."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from check_numbers(name, f"{key}.{name}")
            yield from check_numbers(each, f"{key}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from check_numbers(each, f"{key}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, f"{value} is no number that a record can hold", "write null, or a text in quotes"


def check_extras(sinks: Sequence[SinkPlan]) -> Found:
    """Problems with what is not installed."""
    for sink in sinks:
        kind = known_sink_type(sink.type)
        if kind.module and find_spec(kind.module) is None:
            remedy = f'pip install "dtopipe[{kind.extra}]"' if kind.extra else f"pip install {kind.module}"
            yield f"sinks.{sink.name}.type", f"{sink.type} outputs need {kind.module}, which is not installed", remedy


def check_readings(sinks: Sequence[SinkPlan]) -> Found:
    """Problems with sinks of a polled task."""
    for sink in sinks:
        if not known_sink_type(sink.type).takes_readings:
            *able, last = [name for name in OURS if known_sink_type(name).takes_readings]
            remedy = f"use {', '.join(able)} or {last}"
            yield f"sinks.{sink.name}.type", f"{sink.type} refuses polled readings", remedy
        elif sink.layout is Layout.LONG:
            yield f"sinks.{sink.name}.layout", "polled readings have a layout of their own", "take this line out"


def check_databases(sinks: Sequence[SinkPlan], name: str) -> Found:
    """Problems with sinks that write to a database; `name` is the topology's."""
    seen: dict[str, str] = {}
    for sink in sinks:
        server = known_sink_type(sink.type).server
        if server is None:
            continue
        try:
            target = str(referred(server.target)(sink.options, name))
        except SinkOptionError as error:
            yield f"sinks.{sink.name}.{server.place_key}", error.message, error.remedy
            continue
        if target in seen:
            key, remedy = f"sinks.{sink.name}.{server.place_key}", f"give one another {server.place_key}"
            yield key, f"sink {seen[target]} writes to {target} too", remedy
        seen.setdefault(target, sink.name)


def check_channels(
    named: Mapping[str, str],
    sinks: Sequence[SinkPlan],
    board: Mapping[str, Any],
    plans: Sequence[ChannelPlan],
    *,
    polled: bool,
) -> Found:
    """Problems with channels; `named` is key: name, `board` the options of the board, `plans` all that can be read.

    In a table of readings a channel may be called as it likes: its column is.
    """
    names = list(named.values())
    virtual = {plan.name for plan in plans if plan.formula}
    inputs = [name for name in names if name not in virtual]
    seen: set[str] = set()
    for key, name in named.items():
        if name in seen:
            yield key, f"two channels are named {name!r}", "rename one of them"
        elif name in FIXED_COLUMNS and not polled:
            yield key, f"{name!r} is a column of every output", "rename this channel"
        elif "\0" in name:
            yield key, "a name must not hold a NUL character", "rename this channel"
        seen.add(name)
    for number, fault in enumerate(board.get("sensor_faults") or ()):
        if fault["channel"] not in inputs:
            key = f"board.sensor_faults[{number}].channel"
            yield key, f"there is no channel {fault['channel']!r}", nearest(fault["channel"], inputs)
    for sink in sinks:
        before: set[str] = set()
        for number, name in enumerate(sink.channels or ()):
            key = f"sinks.{sink.name}.channels[{number}]"
            if name not in seen:
                yield key, f"there is no channel {name!r}", nearest(name, names)
            elif name in before:
                yield key, f"{name!r} stands here twice", "take one out"
            before.add(name)
    yield from trigger_problems(sinks, names, polled=polled)


def check_sizes(plan: RunPlan, cost: Cost) -> Found:
    """Problems with a whole plan that takes so much: what memory or disks cannot hold."""
    yield from _ring(plan, cost)
    is_covered = any(sink.is_journal for sink in plan.sinks)
    room = Room(cost.rate_hz, cost.bytes_per_s, cost.samples_per_block, cost.ring_seconds, is_covered)
    yield from trigger_sizes(plan.sinks, room)
    yield from _no_room(cost)
    if cost.length_s is not None:
        yield from _disks(cost, cost.length_s)


def row_warnings(plan: RunPlan, cost: Cost) -> Found:
    """What is no reason not to begin: files of more rows than the program shows that they are for."""
    for sink, own in zip(plan.sinks, cost.sinks, strict=True):
        limit = known_sink_type(sink.type).most_rows
        most = None if limit is None else limit(sink.options)
        rows_per_s = cost.rate_hz / samples_a_row(sink.every_s, cost.rate_hz)
        length_s = _length_of_a_file_s(sink, own, cost)
        if most is None or length_s is None or rows_per_s * length_s <= most:
            continue
        what = (
            f"{'a part of it' if sink.split else 'this run'} will have {math.ceil(rows_per_s * length_s):,} rows, and "
            f"a spreadsheet shows {most:,} below the names of columns"
        )
        split = next((spelled for spelled, time_s in _PARTS_S.items() if rows_per_s * time_s <= most), "1min")
        yield f"sinks.{sink.name}", what, f"set split: {split}, or every: 1s, or choose another sink for all of them"


def _length_of_a_file_s(sink: SinkPlan, own: SinkCost, cost: Cost) -> float | None:
    """How long a file is; None if nothing ends it."""
    if sink.split is None:
        return cost.length_s
    split = Split.of(sink.split)
    part_s = split.time_s if split.n_bytes is None else split.n_bytes / own.bytes_per_s
    return min((each for each in (part_s, cost.length_s) if each is not None), default=None)


def check_room(plan: RunPlan) -> Found:
    """Problems with the disks of sinks that join a run in progress, which are all that this plan has."""
    for disk in estimate(plan).disks:
        if disk.sinks and round(disk.free_gb * 1e9) < disk.least_bytes:
            yield (
                f"sinks.{disk.sinks[0]}.path",
                _no_room_text(disk, "write there"),
                "free some space, or choose another path",
            )


def _ring(plan: RunPlan, cost: Cost) -> Found:
    smallest = 2 * cost.slot_bytes
    if plan.ring.bytes is not None and plan.ring.bytes < smallest:
        what = f"two blocks take {size_text(smallest)}: {plan.ring.bytes} bytes are too few"
        yield "ring.bytes", what, f"set ring: {{bytes: {smallest}}} or more"
        return
    limit, whose = process_limit()
    if limit and cost.ring_bytes > limit:
        slots = int((limit - bytes_before_slots(cost.n_channels)) / cost.slot_bytes)
        raised = "raise that limit: ulimit -f unlimited"
        yield (
            "ring",
            f"a ring of {size_text(cost.ring_bytes)} ({cost.ring_seconds:.3g} s) is a file in memory, and "
            f"{whose} lets none be larger than {size_text(limit)}",
            f"{_ring_of(slots, cost)} or less, or {raised}" if slots >= FEWEST_SLOTS else raised,
        )
        return
    free = free_shared_memory()
    if cost.ring_bytes > free:
        # Others take of it too, until the run begins.
        slots = int((free * 0.95 - bytes_before_slots(cost.n_channels)) / cost.slot_bytes)
        yield (
            "ring",
            f"a ring of {size_text(cost.ring_bytes)} ({cost.ring_seconds:.3g} s) does not fit into the "
            f"{size_text(free)} of shared memory that are free",
            f"{_ring_of(slots, cost)} or less, or free shared memory" if slots >= FEWEST_SLOTS else _NO_RING_FITS,
        )


def _ring_of(slots: int, cost: Cost) -> str:
    """Three digits of seconds, never more than there is room for."""
    seconds = slots * cost.samples_per_block / cost.rate_hz
    step = 10.0 ** (math.floor(math.log10(seconds)) - 2)
    fitting = math.floor(seconds / step + 1e-9) * step
    return f"set ring: {{seconds: {fitting:.3g}}}"


def _disks(cost: Cost, length_s: float) -> Found:
    """A run of a known length that a disk cannot take is not begun."""
    full = [
        f"about {disk.gb_per_hour * length_s / 3600:.3g} GB to {disk.folder}, where {disk.free_gb:.3g} GB are free"
        for disk in cost.disks
        if disk.gb_per_hour * length_s / 3600 > disk.free_gb
    ]
    if full:
        remedy = "shorten it, take out a sink, or choose another disk with --run-dir"
        yield "duration", f"this run would write {' and '.join(full)}", remedy


def _no_room(cost: Cost) -> Found:
    """A disk that has no room for the first seconds and for an orderly end after them."""
    for disk in cost.disks:
        if round(disk.free_gb * 1e9) < disk.least_bytes:
            key = f"sinks.{disk.sink}.path" if disk.sink else "run_dir"
            place = "another path" if disk.sink else "another disk with --run-dir"
            yield key, _no_room_text(disk, "begin this run"), f"free some space there, or choose {place}"


def _no_room_text(disk: DiskCost, to: str) -> str:
    return (
        f"the disk of {disk.folder} has {bytes_text(round(disk.free_gb * 1e9))} free, and to {to} takes about "
        f"{bytes_text(disk.least_bytes)}: some seconds of data, and an orderly end"
    )


def free_shared_memory() -> int:
    """Bytes that a ring may take."""
    if Path("/dev/shm").is_dir():  # noqa: S108  (where Linux keeps POSIX shared memory)
        return min(shutil.disk_usage("/dev/shm").free, psutil.virtual_memory().available)  # noqa: S108
    return int(psutil.virtual_memory().available)
