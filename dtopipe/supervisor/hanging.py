"""Processes that hang: reported with the call that they stand in, and killed after their limit."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable

import psutil

from dtopipe.core.lifecycle import WorkerState
from dtopipe.shm.calls import CallWords
from dtopipe.supervisor.acquirer_agent import NAME, AcquirerAgent
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.messages import Failed

# Of a process that stands for less nobody asks how it is: that costs more than a look at its words.
_ASK_SYSTEM_AFTER_S = 1.0


class Hanging:
    """Looks once a turn where every process stands. Time counts only while this looks."""

    def __init__(self, memory: RunMemory, acquirer: AcquirerAgent, sinks: Sinks, events: Events) -> None:
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._events = events

    def look(self, elapsed_s: float) -> None:
        """One turn, `elapsed_s` after the last."""
        acquirer, mark = self._acquirer, self._acquirer_mark()
        acquirer.clock.saw(mark, elapsed_s, starts=not acquirer.is_open)
        self._judge(NAME, acquirer, mark)
        for sink in self._sinks.workers:
            mark = self._sink_mark(sink)
            sink.clock.saw(mark, elapsed_s, starts=sink.state is WorkerState.STARTING)
            self._judge(sink.plan.name, sink, mark)

    def _judge(self, name: str, agent: SinkAgent | AcquirerAgent, mark: tuple[str, Hashable] | None) -> None:
        before, agent.stands = agent.stands, ""
        process = agent.process
        if mark is None or process is None or agent.clock.stands_s < _ASK_SYSTEM_AFTER_S:
            return self._goes_on(name, before)
        state = _state(process.pid)
        stopped = state == psutil.STATUS_STOPPED
        if not agent.clock.is_worth_a_word(stopped=stopped):
            return self._goes_on(name, before)
        agent.stands = f"stopped in {mark[0]}" if stopped else f"hung in {mark[0]}"
        if not before:
            self._events.append("hung", name, how=agent.stands, for_s=round(agent.clock.stands_s, 3))
        # Whoever waits for the disk itself cannot be killed.
        if agent.clock.is_over and state != psutil.STATUS_DISK_SLEEP:
            why = f"{agent.stands} for {agent.clock.stands_s:.0f} s"
            self._events.append("killed", name, why=why)
            agent.life.last_words = Failed(why)
            agent.stands = ""
            agent.clock.saw(None, 0.0)
            process.kill()
        return None

    def _goes_on(self, name: str, before: str) -> None:
        if before:
            self._events.append("goes_on", name, after=before)

    def _acquirer_mark(self) -> tuple[str, Hashable] | None:
        agent, ring = self._acquirer, self._memory.ring
        if agent.process is None or agent.has_ended:
            return None
        if not agent.is_open:
            if agent.waits_for_others:
                return None
            return "open", agent.life.generation
        if ring is None or agent.started_ns is None:
            return None
        call, since_ns = CallWords.of_acquirer(ring).read()
        return call.name.lower(), (agent.life.generation, since_ns)

    def _sink_mark(self, agent: SinkAgent) -> tuple[str, Hashable] | None:
        ring = self._memory.ring
        if agent.process is None or not agent.state.has_process:
            return None
        if agent.state is WorkerState.STARTING:
            # Once it has said hello, it is the one that waits.
            return None if agent.said_hello else ("start", agent.life.generation)
        if ring is None or agent.row is None:
            return None
        call, since_ns = CallWords.of_row(ring, agent.row).read()
        return call.name.lower(), (agent.life.generation, since_ns)


def _state(pid: int) -> str:
    """What the system says of a process, such as psutil.STATUS_STOPPED; empty where it says nothing."""
    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(pid).status())
    return ""
