"""A snapshot of a run in progress, for tables and for `dtopipe status`."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from dtopipe.core.board_condition import BoardCondition
from dtopipe.core.headroom import Headroom, journal_headroom
from dtopipe.host.clock import mono_ns
from dtopipe.model.plan import RunPlan
from dtopipe.shm.ring import RingStatus
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.board_watch import BoardWatch
from dtopipe.supervisor.disks import Disks
from dtopipe.supervisor.gateway_agent import GatewayAgent
from dtopipe.supervisor.headroom import headroom_s, held_slots
from dtopipe.supervisor.limiting import Limiting
from dtopipe.supervisor.limits import Limits
from dtopipe.supervisor.notes import Notes
from dtopipe.supervisor.on_events import OnEvents
from dtopipe.supervisor.progress import Progress
from dtopipe.supervisor.record import acquired, verdict_facts
from dtopipe.supervisor.retention import Retention
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.supervisor.subscriber import Subscriber
from dtopipe.supervisor.subscriptions import Subscriptions
from dtopipe.transport.malformed import Malformed

_RATE_WINDOW_NS = 2_000_000_000


class RateMeter:
    """Samples a second over the last two seconds, from a count that rises."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def rate_hz(self, now_ns: int, count: int) -> float:
        """The rate, having seen `count` now."""
        while len(self._seen) > 1 and now_ns - self._seen[1][0] >= _RATE_WINDOW_NS:
            self._seen.popleft()
        self._seen.append((now_ns, count))
        first_ns, first = self._seen[0]
        return (count - first) * 1e9 / (now_ns - first_ns) if now_ns > first_ns else 0.0


class StatusBoard:
    """Reads a run's state; rates need it to be asked again and again."""

    def __init__(
        self,
        plan: RunPlan,
        folder: Path,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        sinks: Sinks,
        gateway: GatewayAgent,
        board_watch: BoardWatch,
        disks: Disks,
        retention: Retention,
        subscriptions: Subscriptions,
        notes: Notes,
        limits: Limits,
        on_events: OnEvents,
        record: RunRecord,
        malformed: Malformed,
        limiting: Limiting,
    ) -> None:
        """`folder`: the run's. `malformed`: what was said to its supervisor that nobody can understand."""
        self._plan = plan
        self._folder = folder
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._gateway = gateway
        self._board_watch = board_watch
        self._disks = disks
        self._retention_of_journal = retention
        self._subscriptions = subscriptions
        self._notes = notes
        self._limits = limits
        self._on_events = on_events
        self._record = record
        self._malformed = malformed
        self._limiting = limiting
        self._meters: dict[str, RateMeter] = {}

    def snapshot(self) -> dict[str, Any]:
        """JSON-able; counts are samples per channel, rates samples per channel and second."""
        progress, memory, stream, acquirer = self._progress, self._memory, self._memory.stream, self._acquirer
        now_ns = mono_ns()
        ring = memory.ring.status() if memory.ring else None
        held = held_slots(memory, self._sinks, ring)
        free_s = headroom_s(memory, held)
        counts = acquired(memory.ring)
        return {
            "run_id": progress.run_id,
            "name": self._plan.name,
            "folder": str(self._folder),
            "phase": progress.phase.value,
            **({"hurried": True} if progress.is_hurried else {}),
            "started_at": progress.started.isoformat(),
            "elapsed_s": round((now_ns - progress.started_ns) / 1e9, 3),
            "duration_s": self._plan.duration_s,
            "simulated": stream is not None and stream.simulated,
            "board": {
                "type": self._plan.board.type,
                "device": stream.device if stream else None,
                **self._board_state(ring),
                "channels": len(stream.channels) if stream else None,
                "rate_nominal_hz": stream.rate_hz if stream else None,
                "samples_per_block": stream.samples_per_block if stream else None,
                "rate_hz": round(self._rate("", now_ns, counts["samples"]), 3),
                "restarts": acquirer.life.restarts,
                **({"away_since": acquirer.away_since} if acquirer.away else {}),
                **({"silent_since": since} if (since := self._board_watch.silent_since) else {}),
                "pid": acquirer.process.pid if acquirer.process else None,
                **counts,
            },
            "headroom_s": free_s,
            **({"ring": facts} if (facts := self._ring(held)) else {}),
            "headroom": self._headroom(ring, free_s, now_ns),
            "limiting": self._limiting.snapshot(),
            "sinks": {agent.plan.name: self._sink(agent, counts["end_sample_index"], now_ns) for agent in self._sinks},
            "disks": self._disks.facts,
            **({"limits": limits} if (limits := self._limits.snapshot()) else {}),
            **({"listen": listen} if (listen := self._gateway.snapshot()) else {}),
            **({"on": commands} if (commands := self._on_events.snapshot()) else {}),
            "insecure": self._plan.insecure,
            "malformed": self._malformed.count,
            **({"ended_early": progress.ended_early} if progress.ended_early else {}),
            **({"ended_by": progress.ended_by.facts()} if progress.ended_by else {}),
            "subscribers": [self._subscriber(subscriber) for subscriber in self._subscriptions.subscribers.values()],
            "marks": {"count": self._notes.marking.count, "newest": self._notes.marking.newest()},
            "readings": {"count": self._notes.instruments.count},
            "remarks": [remark.text for remark in self._record.remarks],
            "verdict": verdict_facts(progress.verdict),
        }

    def _subscriber(self, subscriber: Subscriber) -> dict[str, Any]:
        """A program that follows the run; `lag_samples` is what it has not asked for."""
        memory = self._memory
        row = memory.table.status(subscriber.row) if memory.table else None
        committed = max(row.committed, subscriber.start) if row else subscriber.start
        rate_hz = memory.stream.rate_hz if memory.stream else 0.0
        lag = max(0, memory.end_sample_index - committed)
        return {
            "program": subscriber.program,
            "pid": subscriber.pid,
            "policy": subscriber.policy.value,
            "start": subscriber.start,
            "committed": committed,
            "lag_samples": lag,
            "lag_s": round(lag / rate_hz, 3) if rate_hz else 0.0,
            "samples": row.samples if row else 0,
            "gaps": row.gap_samples if row else 0,
            "dropped": row.dropped if row else 0,
            "row": subscriber.row,
        }

    def _sink(self, agent: SinkAgent, end: int, now_ns: int) -> dict[str, Any]:
        position = agent.position
        stream = self._memory.stream
        rate_hz = stream.rate_hz if stream else 0.0
        lag = agent.lag_samples(end, rate_hz)
        return {
            "type": agent.plan.type,
            "policy": agent.plan.policy.value,
            "path": agent.plan.path,
            **({"target": agent.plan.target} if agent.plan.target else {}),
            "state": agent.shown_state,
            "condition": agent.condition.value,
            "rate_hz": round(self._rate(agent.plan.name, now_ns, position.samples), 3),
            "lag_samples": lag,
            "lag_s": round(lag / rate_hz, 3) if rate_hz else 0.0,
            "committed": position.committed,
            "durable": position.durable,
            "samples": position.samples,
            "rows": agent.row_count.rows(position),
            "gaps": position.gap_samples,
            "dropped": position.dropped,
            "restarts": agent.life.restarts,
            "pid": agent.process.pid if agent.process else None,
            "row": agent.row,
            **({"is_journal": True} if agent is self._sinks.journal else {}),
            **({"is_covered": True} if self._sinks.is_covered(agent) else {}),
            **self._trigger(agent),
            **self._retention(agent),
            **agent.troubles(),
            **({"waited_for_s": round(agent.waited_for_s, 1)} if agent.detach_at is not None else {}),
        }

    def _trigger(self, agent: SinkAgent) -> dict[str, Any]:
        """The facts of a sink that writes only what is around events."""
        if agent.trigger is None:
            return {}
        return {"trigger": agent.trigger.facts(), "untriggered": agent.untriggered(agent.position.committed)}

    def _retention(self, agent: SinkAgent) -> dict[str, Any]:
        """The facts of a journal that retires segments: from where it is there, and for whom it keeps that."""
        if not agent.plan.retires:
            return {}
        position = agent.position
        return {
            "retained_from": position.retained_from,
            "kept_for": self._retention_of_journal.waited_for(position.committed),
        }

    def _rate(self, name: str, now_ns: int, count: int) -> float:
        return self._meters.setdefault(name, RateMeter()).rate_hz(now_ns, count)

    def _board_state(self, ring: RingStatus | None) -> dict[str, str]:
        """`state` for people, `condition` for programs, and `why` where the state says it behind a colon."""
        condition, words, why = self._board_words(ring)
        state = f"{words}: {why}" if why else words
        return {"state": state, "condition": condition.value, **({"why": why} if why else {})}

    def _board_words(self, ring: RingStatus | None) -> tuple[BoardCondition, str, str]:
        agent = self._acquirer
        if agent.away:
            return BoardCondition.AWAY, "away", agent.away
        if ring is None:
            return BoardCondition.OPENING, "opening", ""
        if agent.stands:
            return BoardCondition.HUNG, f"{agent.stands} for {agent.clock.stands_s:.0f} s", ""
        if ring.waiting_for:
            names = [a.plan.name for a in self._sinks if a.row in ring.waiting_for]
            return BoardCondition.WAITING, "waiting for " + ", ".join(names), ""
        if since := self._board_watch.silent_since:
            return BoardCondition.SILENT, "silent", f"no sample since {since}"
        stage = BoardCondition[ring.stage.name]
        return stage, stage.value, ""

    def _headroom(self, ring: RingStatus | None, free_s: float | None, now_ns: int) -> dict[str, Any]:
        """Seconds that are left, and of how many: of a clocked board's own buffers, of the ring, and of the journal."""
        stream, own = self._memory.stream, self._memory.ring
        if ring is None or stream is None or own is None:
            return {}
        block_s = stream.samples_per_block / stream.rate_hz
        found: dict[str, Any] = {}
        if self._acquirer.is_clocked and self._plan.board.task is not None:
            # While the acquirer waits for a slot, the board keeps what comes.
            of_s = self._plan.board.task.driver_buffers * block_s
            waits_s = (now_ns - ring.waiting_since_ns) / 1e9 if ring.waiting_since_ns else 0.0
            found["board"] = {"left_s": round(max(0.0, of_s - waits_s), 3), "of_s": round(of_s, 3)}
        if free_s is not None:
            found["ring"] = {"left_s": free_s, "of_s": round(own.layout.n_slots * block_s, 3)}
        if (journal := self._headroom_of_journal(now_ns)) is not None:
            found["journal"] = {"left_s": round(journal.left_s, 3), "of_s": round(journal.of_s, 3)}
        return found

    def _headroom_of_journal(self, now_ns: int) -> Headroom | None:
        """How long those that read from the journal may stop; None without one, or where nobody reads from it."""
        journal, memory = self._sinks.journal, self._memory
        if journal is None or journal.state.is_final or memory.stream is None:
            return None
        readers = [agent for agent in self._sinks if self._sinks.is_covered(agent) and not agent.state.is_final]
        if not readers and self._plan.listen is None:
            return None
        end, rate_hz = memory.end_sample_index, memory.stream.rate_hz
        behind = [agent.lag_samples(end, rate_hz) for agent in readers]
        behind += [end - at for at in self._gateway.kept().values()]
        return journal_headroom(
            self._disks.room_for_journal_s(), max(behind, default=0) / rate_hz, self._gateway.forgotten_in_s(now_ns)
        )

    def _ring(self, held: int | None) -> dict[str, int]:
        """How many slots there are, and how many of them the slowest BLOCK sink holds; empty before there is a ring."""
        if self._memory.ring is None:
            return {}
        return {"slots": self._memory.ring.layout.n_slots, "held_slots": held or 0}
