"""The watcher of limits as the supervisor knows it: a worker that lives as a sink's does, and has no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from dtopipe.model.limits import LimitSeen, Side
from dtopipe.model.plan import RestartPlan, RunPlan, SinkPlan
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Cause
from dtopipe.model.stream import Stream
from dtopipe.model.suggestions import nearest
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.wire.messages import LimitsSeen
from dtopipe.wire.orders import LimitOrders, SinkOrders

NAME = "limits"
# In the way of data is worse than without a process: a new one is there in half a second.
_HUNG_LIMIT_S = 10.0
_SAID_EVERY_S = 0.5
# Without a journal it has the ring alone: pauses are short.
_RESTARTS = RestartPlan(max_restarts=10, within_s=60.0, backoff_s=0.05)
# Less than what most boards hold by themselves.
_STALL_LIMIT_S = 0.25
# Why samples are absent here that outputs have, or may have.
NOT_LOOKED_AT = (Cause.POLICY_DROP, Cause.STALLED, Cause.WORKER_FAILED, Cause.WRITE_ERROR)


class LimitsAgent(SinkAgent):
    """It reads as a BLOCK sink does that the journal covers, without one as a DROP sink: it never holds the board.

    But for one that waits, and loses nothing by that.
    """

    module = "dtopipe.workers.limits"

    def __init__(self, plan: RunPlan, run_folder: Path) -> None:
        has_journal = any(sink.is_journal for sink in plan.sinks)
        super().__init__(
            SinkPlan(
                name=NAME,
                type="",
                policy=Policy.BLOCK if has_journal else Policy.DROP_OLDEST,
                channels=tuple(limit.channel for limit in plan.limits),
                flush_interval_s=_SAID_EVERY_S,
                restart=_RESTARTS,
                # After the journal's end nobody covers it: then it is passed over.
                stall_limit_s=_STALL_LIMIT_S,
                hung_limit_s=_HUNG_LIMIT_S,
            ),
            run_folder,
        )
        self._limits = plan.limits
        # With what a successor goes on: what was seen up to a commit, and what was told of the next one so far.
        self._seen_at: Position | None = None
        self._seen: dict[tuple[str, Side], LimitSeen] = {}
        self._untold: dict[tuple[str, Side], LimitSeen] = {}

    @property
    def key(self) -> str:
        """As SinkAgent.key."""
        return NAME

    def learn(self, stream: Stream) -> None:
        """Nothing: without an output there are no rows, nor parts."""

    def misfit(self, stream: Stream) -> tuple[str, str, str] | None:
        """(key, what, remedy) of a limit that this stream cannot have: what the board says is known only now."""
        units = {channel.name: channel.unit for channel in (*stream.channels, *stream.virtual)}
        for limit in self._limits:
            key, unit = f"limits.{limit.channel}", units.get(limit.channel)
            if unit is None:
                return key, "the board has no such channel", nearest(limit.channel, units)
            if limit.unit is not None and limit.unit != unit:
                what = f"these limits are in {limit.unit}, and the board gives {unit or 'values without a unit'}"
                return f"{key}.unit", what, f"write them in {unit}" if unit else "take this line out"
        return None

    def follow_board(self, *, clocked: bool) -> None:
        """The board is open: whether it goes on without us is known now."""
        if not clocked:
            self.plan = replace(self.plan, policy=Policy.BLOCK, stall_limit_s=_HUNG_LIMIT_S)

    @property
    def missed(self) -> int:
        """How many samples that the run has it did not look at, so far."""
        return sum(map(self.absence.samples, NOT_LOOKED_AT))

    def heard(self, message: LimitsSeen) -> None:
        """Keep what a successor needs."""
        self._untold |= {(each.channel, each.side): each for each in message.limits}
        if message.committed is not None:
            self._seen |= self._untold
            self._untold = {}
            self._seen_at = message.committed

    def orders(self, common: Mapping[str, Any]) -> LimitOrders:
        """As SinkAgent.orders, with the limits, and what a predecessor had seen."""
        self._untold = {}
        orders = super().orders(common)
        return LimitOrders(
            **{each.name: getattr(orders, each.name) for each in fields(SinkOrders)},
            limits=self._limits,
            seen=tuple(self._seen.values()),
            position=self._seen_at,
        )
