"""What a run will take: memory, data rate, disk, and how long a sink may stop."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dtopipe.core.ring_size import ring_slots, slot_bytes
from dtopipe.model.plan import RunPlan, SinkPlan, TaskPlan
from dtopipe.model.policy import Layout, Policy
from dtopipe.topology.recording import recorded_dtype, recorded_task

# Bytes a row and bytes a value, measured on noise of 16-bit codes with seven-letter names; text is at its widest.
_WIDE = {"csv": (66, 20), "jsonl": (105, 30), "sqlite": (30, 9), "parquet": (2, 2.5), "hbuf": (0, 2)}
_LONG = {"csv": (0, 135), "jsonl": (0, 290), "sqlite": (0, 110), "parquet": (0, 5)}
_UNKNOWN = (0, 8)
_HBUF_CHUNK_BYTES = 420


@dataclass(frozen=True, slots=True)
class SinkCost:
    """One sink: samples of all its channels a second, and about how many bytes that is in its output."""

    name: str
    type: str
    policy: Policy
    samples_per_s: float
    bytes_per_s: float
    gb_per_hour: float


@dataclass(frozen=True, slots=True)
class Cost:
    """A whole run. `headroom_s`: how long a BLOCK sink may stop until the board loses samples."""

    n_channels: int
    rate_hz: float
    samples_per_s: float
    bytes_per_s: float
    samples_per_block: int
    ring_slots: int
    ring_bytes: int
    ring_seconds: float
    driver_seconds: float
    headroom_s: float
    disk_gb_per_hour: float
    disk_free_gb: float
    disk_full_after_h: float | None
    sinks: tuple[SinkCost, ...]


def sized(plan: RunPlan) -> bool:
    """True if the plan says how much data there will be; a plug-in's board may say it only once it is open."""
    return plan.board.task is not None or plan.board.type == "replay"


def estimate(plan: RunPlan) -> Cost:
    """The cost of a plan that is `sized`. Raises TopologyError if its recording cannot be read."""
    task, dtype = _task(plan)
    n_channels, rate_hz = len(task.channels), task.rate_hz
    item_bytes = np.dtype(dtype).itemsize
    slot = slot_bytes(n_channels, task.samples_per_block, item_bytes)
    slots = ring_slots(plan.ring, rate_hz, task.samples_per_block, slot)
    sinks = tuple(_sink(sink, task) for sink in plan.sinks)
    per_hour = sum(sink.gb_per_hour for sink in sinks)
    free_gb = _free_bytes(plan.run_root) / 1e9
    ring_seconds = slots * task.samples_per_block / rate_hz
    driver_seconds = task.driver_buffers * task.samples_per_block / rate_hz
    return Cost(
        n_channels=n_channels,
        rate_hz=rate_hz,
        samples_per_s=n_channels * rate_hz,
        bytes_per_s=n_channels * rate_hz * item_bytes,
        samples_per_block=task.samples_per_block,
        ring_slots=slots,
        ring_bytes=slots * slot,
        ring_seconds=ring_seconds,
        driver_seconds=driver_seconds,
        headroom_s=ring_seconds + driver_seconds,
        disk_gb_per_hour=per_hour,
        disk_free_gb=free_gb,
        disk_full_after_h=free_gb / per_hour if per_hour else None,
        sinks=sinks,
    )


def _task(plan: RunPlan) -> tuple[TaskPlan, str]:
    if plan.board.task is not None:
        return plan.board.task, "int16"
    path = Path(str(plan.board.options["path"]))
    return recorded_task(path), recorded_dtype(path)


def _sink(sink: SinkPlan, task: TaskPlan) -> SinkCost:
    n_channels = len(sink.channels or task.channels)
    table = _LONG if sink.layout is Layout.LONG and sink.type != "hbuf" else _WIDE
    row, value = table.get(sink.type, _UNKNOWN)
    per_s = task.rate_hz * (row + n_channels * value)
    if sink.type == "hbuf":
        per_s += task.rate_hz / task.samples_per_block * _HBUF_CHUNK_BYTES
    return SinkCost(sink.name, sink.type, sink.policy, n_channels * task.rate_hz, per_s, per_s * 3600 / 1e9)


def _free_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
