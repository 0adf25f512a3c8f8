"""A topology, resolved: what to start, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtopipe.model.calibration import Calibration
from dtopipe.model.errors import Place, Problem
from dtopipe.model.limits import LimitPlan
from dtopipe.model.policy import Layout, OnExists, Policy


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """A channel as the topology asks for it; the board answers with a `Channel`.

    `range`, `unit`: of its input. A virtual channel has a `formula` over others, with `constants`, and no input.
    """

    name: str
    kind: str = "voltage"
    physical_channel: int | None = None
    range: tuple[float, float] | None = None
    unit: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    formula: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What the board is to acquire; rate per channel in Hz, block length in samples per channel.

    `virtual`: channels that the board knows nothing of.

    `polled`: it is asked for one sample of every channel `rate_hz` times a second; a block is one sample.
    """

    name: str
    rate_hz: float
    samples_per_block: int
    channels: tuple[ChannelPlan, ...]
    driver_buffers: int = 4
    polled: bool = False
    virtual: tuple[ChannelPlan, ...] = ()

    @property
    def columns(self) -> tuple[ChannelPlan, ...]:
        """All that tables have, in order."""
        return (*self.channels, *self.virtual)


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """A worker is restarted at most `max_restarts` times within `within_s`; the n-th waits `backoff_s * 2**n`."""

    max_restarts: int = 5
    within_s: float = 60.0
    backoff_s: float = 0.25


@dataclass(frozen=True, slots=True)
class BoardPlan:
    """`task` is None for boards that bring their own (replay).

    `restart`: how often it is tried again; None: a board that is away for ever, a process that dies as a sink's.
    """

    type: str
    options: Mapping[str, Any]
    task: TaskPlan | None
    hung_limit_s: float | None = 60.0
    restart: RestartPlan | None = None


@dataclass(frozen=True, slots=True)
class RingPlan:
    """Exactly one is set; `seconds` becomes slots once the board has said its real rate."""

    seconds: float | None = None
    slots: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """What a sink writes of a run: from `pre_s` before `when` comes to hold until `post_s` after it has held."""

    when: str
    pre_s: float = 0.0
    post_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """One sink. `path` is relative to the run folder unless absolute; `options` are the sink type's own.

    `is_journal`: others catch up from it. `target`: where a sink without a file writes to, without credentials.

    `trigger`: of a sink that writes only what is around events.

    `sync_s`: None never syncs before the close, 0 syncs every commit. `delay_per_block_s` slows the sink
    down on purpose, to rehearse a slow disk or viewer.

    `every_s`: of a view, how long a row stands for; `reduce`: how it is made. `split`: after how much the next file
    begins, such as 1h or 1GiB; `path` has a place for their numbers then.
    """

    name: str
    type: str
    path: str | None = None
    target: str | None = None
    is_journal: bool = False
    policy: Policy = Policy.BLOCK
    layout: Layout = Layout.WIDE
    channels: tuple[str, ...] | None = None
    flush_interval_s: float = 0.5
    essential: bool = False
    on_exists: OnExists = OnExists.ERROR
    restart: RestartPlan = RestartPlan()
    stall_limit_s: float | None = None
    on_stall: str = "drop"
    hung_limit_s: float | None = 60.0
    sync_s: float | None = None
    queue_blocks: int = 64
    every_s: float | None = None
    reduce: str = "mean"
    split: str | None = None
    delay_per_block_s: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    trigger: TriggerPlan | None = None

    @property
    def keeps_codes(self) -> bool:
        """False for a view whose rows are worked out."""
        return self.every_s is None or self.reduce == "first"

    @property
    def has_all_samples(self) -> bool:
        """False for a view: what it was made of cannot be had back from it; and for one that waits for its trigger."""
        return self.every_s is None and self.trigger is None

    @property
    def retires(self) -> bool:
        """True for a journal that deletes segments once they are durable elsewhere."""
        return self.is_journal and self.options.get("retention", "all") != "all"


@dataclass(frozen=True, slots=True)
class ListenPlan:
    """Where the run is served to other machines; `insecure`: to everybody, without keys.

    `keep_for_s`: how long a remote may be away before it is forgotten; None: for ever.
    """

    endpoint: str
    insecure: bool = False
    keep_for_s: float | None = 3600.0


@dataclass(frozen=True, slots=True)
class CommandPlan:
    """A program of the user's, with its arguments; it is run in `folder`. `program`: where it was found."""

    argv: tuple[str, ...]
    program: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that `up` needs. `document` is the topology as written, `${...}` unresolved, for the records.

    `on`: commands that are run when something happens, by what. `warnings`: what is not as it should be, but no reason
    not to begin.
    """

    name: str
    run_root: Path
    source_file: Path
    board: BoardPlan
    ring: RingPlan
    sinks: tuple[SinkPlan, ...]
    duration_s: float | None = None
    drain_limit_s: float = 60.0
    overtime_limit_s: float | None = 30.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    listen: ListenPlan | None = None
    limits: tuple[LimitPlan, ...] = ()
    on: Mapping[str, CommandPlan] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    @property
    def insecure(self) -> bool:
        """True if samples come or go over a link that anybody on the way can read and change."""
        return bool(self.board.options.get("insecure")) or (self.listen is not None and self.listen.insecure)
