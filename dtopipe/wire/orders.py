"""What each worker process is told first, through its standard input: section 5 of PROTOCOL.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.model.limits import LimitPlan, LimitSeen
from dtopipe.model.plan import TaskPlan, TriggerPlan
from dtopipe.model.policy import Layout, OnExists, Policy
from dtopipe.model.position import Position
from dtopipe.wire.message_fields import TypedMessage


@dataclass(frozen=True, slots=True)
class WorkerOrders(TypedMessage, kind="orders"):
    """What every worker must know. `lock`: shows that it lives; `address`: what the supervisor knows it by."""

    name: str
    lock: str
    address: str
    entry: str
    run_folder: str
    control: str
    public_key: str
    secret_key: str
    drain_limit_s: float


@dataclass(frozen=True, slots=True)
class AcquirerOrders(WorkerOrders, kind="orders"):
    """`type`, `options` and `task`: of the board. `remote_id`, `followed_run`: of a board that is another machine."""

    type: str
    options: Mapping[str, Any]
    task: TaskPlan | None
    duration_s: float | None
    remote_id: str
    followed_run: str


@dataclass(frozen=True, slots=True)
class SinkOrders(WorkerOrders, kind="orders"):
    """`type` and `options`: of the sink. `sync_s`: None for never. `every_s`, `reduce`: of a view.

    `split`: where the next part begins, as a topology has it.
    `trigger`: of one that writes only what is around events.
    """

    type: str
    path: str | None
    policy: Policy
    layout: Layout
    on_exists: OnExists
    channels: tuple[str, ...] | None
    flush_interval_s: float
    sync_s: float | None
    queue_blocks: int
    delay_per_block_s: float
    every_s: float | None
    reduce: str
    split: str | None
    trigger: TriggerPlan | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LimitOrders(SinkOrders, kind="orders"):
    """Of the worker that watches limits: what a predecessor had seen of them, up to its `position`."""

    limits: tuple[LimitPlan, ...]
    seen: tuple[LimitSeen, ...]
    position: Position | None


@dataclass(frozen=True, slots=True)
class GatewayOrders(WorkerOrders, kind="orders"):
    """`keep_for_s`: how long a remote may be away until it is forgotten. `expected`: whom a predecessor served."""

    endpoint: str
    insecure: bool
    keep_for_s: float | None
    expected: tuple[str, ...]
