"""The acquirer as the supervisor knows it, across all processes that served the run."""

from __future__ import annotations

import math
import platform
import uuid
from collections.abc import Mapping
from typing import Any

from dtopipe.boards.registry import known_board_type
from dtopipe.core.hanging import CallClock
from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.core.link_clock import LinkPair
from dtopipe.core.worker import Death, WorkerLife
from dtopipe.model.facts import finite
from dtopipe.model.plan import RestartPlan, RunPlan
from dtopipe.model.planned_channels import calibrated, virtual_channels
from dtopipe.model.span import Cause
from dtopipe.model.stream import Stream
from dtopipe.supervisor.ports import Process
from dtopipe.wire.messages import BoardOpened
from dtopipe.wire.orders import AcquirerOrders

NAME = "acquirer"


class AcquirerAgent:
    """State of the board's process; `opened` is what the board said of itself."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self.life = WorkerLife(plan.board.restart or RestartPlan())
        self.process: Process | None = None
        self.opened: BoardOpened | None = None
        # When the board was told to start, last.
        self.started_ns: int | None = None
        # The first block that its present process can publish.
        self.began_at_block = 0
        self.clock = CallClock(plan.board.hung_limit_s)
        # The call in which it hangs, as `hung in read`, while it does.
        self.stands = ""
        # Why the board, or the machine that the samples come from, is away, while it is.
        self.away = ""
        self.away_since = ""
        # The ring's epoch in which a board of our own was last there, while it is away.
        self.away_in_epoch: int | None = None
        self._remote_id = str(uuid.uuid4())
        # The best of all that the machine answered from which the samples come.
        self.link_pair: LinkPair | None = None

    @property
    def address(self) -> bytes:
        """The control address of the present process."""
        return f"{NAME}.{self.life.generation}".encode()

    @property
    def is_open(self) -> bool:
        """True while its present process has the board open."""
        return self.life.state in (WorkerState.READY, WorkerState.RUNNING)

    @property
    def has_ended(self) -> bool:
        """True once it has set the end-of-run mark."""
        return self.life.state is WorkerState.DONE

    @property
    def is_clocked(self) -> bool:
        """True if the board goes on without us."""
        return self.opened is not None and self.opened.board.clocked

    @property
    def waits_for_others(self) -> bool:
        """True for a board that opens once another machine is there."""
        return known_board_type(self._plan.board.type).follows

    @property
    def first_sample_index(self) -> int:
        """Where the run begins, as the board has it."""
        return 0 if self.opened is None else self.opened.board.first_sample_index

    def stream(self, run_id: str, started_at: str) -> Stream:
        """What the board delivers. Raises RuntimeError before it was opened."""
        if self.opened is None:
            raise RuntimeError("the board has not been opened")
        board = self.opened.board
        task = self._plan.board.task
        return Stream(
            run_id=board.run_id or run_id,
            task=self._plan.name,
            device=board.device,
            channels=board.channels if task is None else calibrated(board.channels, task),
            dtype=board.dtype,
            rate_hz=board.rate_hz,
            samples_per_block=board.samples_per_block,
            started_at=board.started_at or started_at,
            metadata=finite({**board.metadata, **self._plan.metadata}),
            simulated=board.simulated,
            polled=board.polled,
            virtual=board.virtual if task is None else virtual_channels(task),
        )

    def spawned(self, process: Process) -> None:
        """It has a process."""
        self.process = process
        self.life.spawned()

    def board_opened(self, opened: BoardOpened) -> None:
        """Its process has the board open."""
        self.opened = opened
        if self.life.may(WorkerEvent.SAID_READY):
            self.life.happened(WorkerEvent.SAID_READY)

    def board_started(self, now_ns: int, began_at_block: int) -> None:
        """It was told to take samples."""
        self.started_ns = now_ns
        self.began_at_block = began_at_block
        if self.life.may(WorkerEvent.BOARD_STARTED):
            self.life.happened(WorkerEvent.BOARD_STARTED)

    def stream_ended(self) -> None:
        """It has set the end-of-run mark."""
        if self.life.may(WorkerEvent.SAID_DONE):
            self.life.happened(WorkerEvent.SAID_DONE)

    def went_away(self, why: str, t_utc: str) -> None:
        """The board is not there, since then (ISO 8601) or longer."""
        self.away = why
        self.away_since = self.away_since or t_utc

    def came_back(self) -> None:
        """It is there again."""
        self.away = self.away_since = ""
        self.away_in_epoch = None

    @property
    def hole_cause(self) -> Cause:
        """Why the samples are absent that a clocked board took meanwhile."""
        return Cause.ACQUIRER_RESTART if self.away_in_epoch is None else Cause.BOARD_AWAY

    def compared(self, pair: LinkPair) -> None:
        """The best of one round of questions about its clocks; what took the least time tells the most."""
        if self.link_pair is None or pair.round_trip_ns < self.link_pair.round_trip_ns:
            self.link_pair = pair

    def died(self, now_ns: int, t_utc: str, epoch: int | None, *, has_delivered: bool = False) -> None:
        """Its process is dead before the end of the run: it is to be restarted, or has given up.

        `t_utc` is now (ISO 8601). `epoch`: the ring's; None before the board has run. A board that runs and says that
        it cannot is away, and waited for. A clocked board goes on otherwise, and every moment of a pause is a gap: who
        has delivered blocks is succeeded at once.
        """
        said, how = self.life.last_words, self.release()
        is_away = bool(epoch) and said is not None and said.is_final is False
        if is_away and said is not None:
            self.away_in_epoch = epoch if self.away_in_epoch is None else self.away_in_epoch
            self.went_away(said.message or how, t_utc)
        elif self.away_in_epoch is None:
            self.away = ""
        is_succeeded_at_once = has_delivered and self.is_clocked and not is_away
        self.life.died(
            Death(
                now_ns,
                how,
                self.started_ns,
                was_away=is_away,
                is_waited_for=self._plan.board.restart is None,
                longest_pause_s=0.0 if is_succeeded_at_once else math.inf,
            )
        )

    def release(self) -> str:
        """Let go of a process that is dead; how it ended, in words."""
        how = ""
        if self.process:
            how = self.process.exit_text
            self.process.release()
        self.process = None
        return how

    def orders(self, common: Mapping[str, Any]) -> AcquirerOrders:
        """What its process must know before the ring is there."""
        board = self._plan.board
        options = dict(board.options)
        if self.waits_for_others:
            options["label"] = f"{platform.node()}/{self._plan.name}"
        return AcquirerOrders(
            **common,
            name=NAME,
            lock=NAME,
            address=self.address.decode(),
            type=board.type,
            options=options,
            task=board.task,
            duration_s=self._plan.duration_s,
            remote_id=self._remote_id,
            followed_run=self.opened.board.run_id if self.opened else "",
        )
