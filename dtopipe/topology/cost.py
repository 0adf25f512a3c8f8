"""What a run will take: memory, data rate, disk, and how long a sink may stop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dtopipe.boards.registry import known_board_type
from dtopipe.core.disk import OutputNeed, reserve_bytes
from dtopipe.core.ring_size import bytes_before_slots, ring_slots, slot_bytes
from dtopipe.host.file_limit import largest_file
from dtopipe.model.plan import ChannelPlan, RunPlan, SinkPlan, TaskPlan
from dtopipe.model.policy import Layout, Policy
from dtopipe.model.reduction import reduced_names
from dtopipe.model.references import referred
from dtopipe.model.stream import Stream
from dtopipe.model.view import samples_a_row
from dtopipe.sinks.registry import known_sink_type
from dtopipe.topology.output_checks import existing_part

# A run that could not last that long is not worth beginning.
_LEAST_S = 5.0
# Of the codes that sizes of outputs are told for.
_USUAL_CODE_BYTES = 2


@dataclass(frozen=True, slots=True)
class SinkCost:
    """One sink: samples of all its channels a second, and about how many bytes that is in its output.

    `visible_after_s`: about how long other programs wait for a sample that the board has delivered.
    """

    name: str
    type: str
    policy: Policy
    samples_per_s: float
    bytes_per_s: float
    gb_per_hour: float
    visible_after_s: float


@dataclass(frozen=True, slots=True)
class DiskCost:
    """One disk, by a folder on it: what all sinks write to it, what is free, and when it is full.

    `least_bytes`: what a run needs there to begin, some seconds of data and an orderly end; `sink`: one that writes
    there, empty for the disk of the run folder; `sinks`: all that write there.
    """

    folder: str
    gb_per_hour: float
    free_gb: float
    full_after_h: float | None
    least_bytes: int
    sink: str
    sinks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """A whole run, at the rate of the board's clock.

    `headroom_s`: how long those that `held_by` names may stop until the board is held up; what `waits` loses nothing
    even then. The BLOCK sinks in `covered` read on from the journal, and hold nobody: `covered_s` is how long they may
    lag until its disk is full, None where it never is.
    `length_s`: of what is recorded, if the run ends by itself. `disk_full_after_h`: the first disk.
    """

    n_channels: int
    rate_hz: float
    samples_per_s: float
    bytes_per_s: float
    samples_per_block: int
    slot_bytes: int
    ring_slots: int
    ring_bytes: int
    ring_seconds: float
    driver_seconds: float
    headroom_s: float
    held_by: tuple[str, ...]
    covered: tuple[str, ...]
    covered_s: float | None
    waits: bool
    length_s: float | None
    disk_gb_per_hour: float
    disk_full_after_h: float | None
    disks: tuple[DiskCost, ...]
    sinks: tuple[SinkCost, ...]
    largest_files: tuple[FileLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class FileLimit:
    """An output whose file can grow no further than `n_bytes`, as `whose` has it, which it will be after `after_h`.

    `goes_on`: in a next file, by itself.
    """

    sink: str
    n_bytes: int
    whose: str
    after_h: float
    goes_on: bool


def estimate(plan: RunPlan) -> Cost:
    """The cost of a plan, as `load_plan` makes it. Raises OSError or WireError if its recording is gone."""
    task, item_bytes = _task(plan)
    n_channels, rate_hz = len(task.channels), task.rate_hz
    slot = slot_bytes(n_channels, task.samples_per_block, item_bytes)
    slots = ring_slots(plan.ring, rate_hz, task.samples_per_block, slot)
    sinks = tuple(_sink(sink, task, item_bytes) for sink in plan.sinks)
    waits = known_board_type(plan.board.type).waits(plan.board.options)
    ring_seconds = slots * task.samples_per_block / rate_hz
    disks = _disks(plan, sinks, rate_hz)
    blocking = [sink for sink in plan.sinks if sink.policy is Policy.BLOCK]
    journal = next((sink for sink in plan.sinks if sink.is_journal), None)
    driver_seconds = 0.0 if waits or task.polled else task.driver_buffers * task.samples_per_block / rate_hz
    return Cost(
        n_channels=n_channels,
        rate_hz=rate_hz,
        samples_per_s=n_channels * rate_hz,
        bytes_per_s=n_channels * rate_hz * item_bytes,
        samples_per_block=task.samples_per_block,
        slot_bytes=slot,
        ring_slots=slots,
        ring_bytes=bytes_before_slots(n_channels) + slots * slot,
        ring_seconds=ring_seconds,
        driver_seconds=driver_seconds,
        headroom_s=ring_seconds + driver_seconds,
        held_by=tuple(sink.name for sink in blocking if journal in (None, sink)),
        covered=tuple(sink.name for sink in blocking if journal not in (None, sink)),
        covered_s=_journal_lasts_s(journal, sinks, disks),
        waits=waits,
        length_s=_length_s(plan, task),
        disk_gb_per_hour=sum(sink.gb_per_hour for sink in sinks),
        disk_full_after_h=min((d.full_after_h for d in disks if d.full_after_h is not None), default=None),
        disks=disks,
        sinks=sinks,
        largest_files=tuple(_limits(plan, sinks)),
    )


def _limits(plan: RunPlan, costs: Sequence[SinkCost]) -> Iterator[FileLimit]:
    for sink, cost in zip(plan.sinks, costs, strict=True):
        limit = None if sink.path is None else largest_file(existing_part((plan.run_root / sink.path).parent))
        if limit is not None and cost.bytes_per_s:
            n_bytes, whose = limit
            kind = known_sink_type(sink.type)
            yield FileLimit(sink.name, n_bytes, whose, n_bytes / cost.bytes_per_s / 3600, kind.goes_on_in_next_file)


def sink_costs(plan: RunPlan, stream: Stream) -> tuple[SinkCost, ...]:
    """What each sink writes of what the board delivers, without a look at any disk."""
    channels, virtual = (tuple(ChannelPlan(each.name) for each in some) for some in (stream.channels, stream.virtual))
    task = TaskPlan(
        stream.task, stream.rate_hz, stream.samples_per_block, channels, polled=stream.polled, virtual=virtual
    )
    return tuple(_sink(sink, task, np.dtype(stream.dtype).itemsize) for sink in plan.sinks)


def size_text(n_bytes: float) -> str:
    """Such as `23.4 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} bytes" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"


def _task(plan: RunPlan) -> tuple[TaskPlan, int]:
    """The task, and bytes a code."""
    kind = known_board_type(plan.board.type)
    if kind.recording is not None:
        path = Path(str(plan.board.options[kind.path_key]))
        return referred(kind.recording.task)(path), referred(kind.recording.item_bytes)(path)
    if plan.board.task is None:
        raise ValueError("a board that does not bring its own task needs one")
    return plan.board.task, np.dtype(kind.dtype(plan.board.options)).itemsize


def _journal_lasts_s(journal: SinkPlan | None, costs: Sequence[SinkCost], disks: Sequence[DiskCost]) -> float | None:
    """How long the journal's disk has room for what others lack, at the rate of all that is written there."""
    for disk in disks:
        if journal is not None and journal.name in disk.sinks:
            per_s = sum(cost.bytes_per_s for cost in costs if cost.name in disk.sinks)
            return disk.free_gb * 1e9 / per_s if per_s else None
    return None


def _length_s(plan: RunPlan, task: TaskPlan) -> float | None:
    """The shortest of what ends the run, without what is lost on purpose; None if nothing ends it."""
    kind, options = known_board_type(plan.board.type), plan.board.options
    ends = [plan.duration_s]
    if kind.recording is not None and not options.get("loop"):
        ends.append(referred(kind.recording.length_s)(Path(str(options[kind.path_key]))))
    if (last := kind.ends_at(options)) is not None:
        ends.append(last / task.rate_hz)
    length_s = min((end for end in ends if end is not None), default=None)
    if length_s is None:
        return None
    lost = kind.lost_before(options, round(length_s * task.rate_hz))
    return max(0.0, length_s - lost / task.rate_hz)


def _sink(sink: SinkPlan, task: TaskPlan, code_bytes: int) -> SinkCost:
    n_channels = len(sink.channels or (task.channels if known_sink_type(sink.type).as_codes else task.columns))
    size = known_sink_type(sink.type).size
    row = size.readings if task.polled else size.long if sink.layout is Layout.LONG else size.wide
    value = row.value * code_bytes / _USUAL_CODE_BYTES if size.holds_codes else row.value
    rows_per_s = task.rate_hz / samples_a_row(sink.every_s, task.rate_hz)
    n_columns = n_channels * len(reduced_names("", sink.reduce if sink.every_s is not None else ""))
    per_s = rows_per_s * (row.row + n_columns * value) + task.rate_hz * size.block / task.samples_per_block
    # A journal that retires segments stays as long as the others are behind: some segments, whatever the run's length.
    growth = 0.0 if sink.retires else per_s * 3600 / 1e9
    visible_after_s = _visible_after_s(sink, task, n_channels)
    return SinkCost(sink.name, sink.type, sink.policy, n_channels * task.rate_hz, per_s, growth, visible_after_s)


def _visible_after_s(sink: SinkPlan, task: TaskPlan, n_channels: int) -> float:
    """A block, then a commit; where rows are seen in groups only, a whole one."""
    group_rows = known_sink_type(sink.type).group_rows
    window = samples_a_row(sink.every_s, task.rate_hz)
    if group_rows is None:
        return max(task.samples_per_block, window) / task.rate_hz + sink.flush_interval_s
    rows = group_rows(sink.options, task.polled)
    rows_a_sample = n_channels if sink.layout is Layout.LONG and not task.polled else 1
    return float(rows) / rows_a_sample * window / task.rate_hz + sink.flush_interval_s


def _disks(plan: RunPlan, costs: Sequence[SinkCost], rate_hz: float) -> tuple[DiskCost, ...]:
    """The disk of the run folder first, then those of outputs elsewhere."""
    places = {existing_part(plan.run_root).stat().st_dev: (plan.run_root, "")}
    written: dict[int, list[SinkCost]] = {device: [] for device in places}
    for sink, cost in zip(plan.sinks, costs, strict=True):
        folder = (plan.run_root / (sink.path or "")).parent
        device = existing_part(folder).stat().st_dev
        places.setdefault(device, (folder, sink.name))
        written.setdefault(device, [])
        if sink.path is not None:
            written[device].append(cost)
    samples = rate_hz * _LEAST_S
    found = []
    for device, (folder, sink_name) in places.items():
        gb_per_hour = sum(cost.gb_per_hour for cost in written[device])
        free_gb = shutil.disk_usage(existing_part(folder)).free / 1e9
        full_after_h = free_gb / gb_per_hour if gb_per_hour else None
        needs = [
            OutputNeed(known_sink_type(cost.type).closing, samples, cost.bytes_per_s / rate_hz)
            for cost in written[device]
        ]
        least = reserve_bytes(needs)
        names = tuple(cost.name for cost in written[device])
        found.append(DiskCost(str(folder), gb_per_hour, free_gb, full_after_h, least, sink_name, names))
    return tuple(found)
