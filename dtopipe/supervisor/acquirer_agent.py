"""The acquirer as the supervisor knows it, across all processes that served the run."""

from __future__ import annotations

import platform
import uuid
from typing import Any

from dtopipe.boards.registry import known_board_type
from dtopipe.core.budget import GiveUp, RestartAfter, RestartBudget
from dtopipe.core.hanging import CallClock
from dtopipe.core.link_clock import LinkPair
from dtopipe.model.facts import finite
from dtopipe.model.plan import RestartPlan, RunPlan
from dtopipe.model.span import Cause
from dtopipe.model.stream import Stream
from dtopipe.supervisor.processes import WorkerProcess
from dtopipe.wire.messages import BoardOpened, Failed
from dtopipe.wire.orders import AcquirerOrders

NAME = "acquirer"


class AcquirerAgent:
    """State of the board's process; `opened` is what the board said of itself."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self.generation = 0
        self.process: WorkerProcess | None = None
        self.opened: BoardOpened | None = None
        self.opened_now = False
        self.found_dead = False
        self.started_ns: int | None = None
        # The first block that its present process can publish.
        self.began_at_block = 0
        self.ended = False
        self.reported: Failed | None = None
        self.restart_due_ns: int | None = None
        self.restarts = 0
        self.failure = ""
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
        self._budget = RestartBudget(plan.board.restart or RestartPlan())

    @property
    def address(self) -> str:
        """The control address of the present process."""
        return f"{NAME}.{self.generation}"

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
        return Stream(
            run_id=board.run_id or run_id,
            task=self._plan.name,
            device=board.device,
            channels=board.channels,
            dtype=board.dtype,
            rate_hz=board.rate_hz,
            samples_per_block=board.samples_per_block,
            started_at=board.started_at or started_at,
            metadata=finite({**board.metadata, **self._plan.metadata}),
            simulated=board.simulated,
            polled=board.polled,
        )

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
        """Its process is dead before the end of the run: `restart_due_ns` is set, or `failure` for good.

        `t_utc` is now (ISO 8601). `epoch`: the ring's; None before the board has run. A board that runs and says that
        it cannot is away, and waited for. A clocked board goes on otherwise, and every moment of a pause is a gap: who
        has delivered blocks is succeeded at once.
        """
        why = self.reported.message if self.reported else ""
        why = why or (self.process.exit_text if self.process else "")
        if self.process:
            self.process.release()
        self.process = None
        self.opened_now = False
        is_away = bool(epoch) and self.reported is not None and self.reported.is_final is False
        if is_away:
            self.away_in_epoch = epoch if self.away_in_epoch is None else self.away_in_epoch
            self.went_away(why, t_utc)
        elif self.away_in_epoch is None:
            self.away = ""
        answer = self._budget.was_away(now_ns) if is_away else self._budget.died(now_ns, self.started_ns)
        if is_away and self._plan.board.restart is None and isinstance(answer, GiveUp):
            answer = RestartAfter(self._budget.longest_pause_s)
        if self.reported is not None and self.reported.is_final:
            # Whoever it is to be started for would be told the same again.
            self.failure = f"the acquirer gave up: {why}"
        elif isinstance(answer, GiveUp):
            self.failure = f"the acquirer gave up after {answer.text}: {why}"
        else:
            pause_s = 0.0 if has_delivered and self.is_clocked and not is_away else answer.pause_s
            self.restart_due_ns = now_ns + round(pause_s * 1e9)

    def orders(self, common: dict[str, Any]) -> AcquirerOrders:
        """What its process must know before the ring is there."""
        board = self._plan.board
        options = dict(board.options)
        if self.waits_for_others:
            options["label"] = f"{platform.node()}/{self._plan.name}"
        return AcquirerOrders(
            **common,
            name=NAME,
            lock=NAME,
            address=self.address,
            type=board.type,
            options=options,
            task=board.task,
            duration_s=self._plan.duration_s,
            remote_id=self._remote_id,
            followed_run=self.opened.board.run_id if self.opened else "",
        )
