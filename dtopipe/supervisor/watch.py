"""Watching: who died, what becomes of it, and who holds the board."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.model.plan import RunPlan
from dtopipe.model.span import Cause
from dtopipe.supervisor.acquirer_agent import NAME, AcquirerAgent
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.refusal import refusal
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks

_LOG_LINES_TOLD = 10


class Watch:
    """Looks at every process once a turn; restarts what may be restarted."""

    def __init__(
        self,
        plan: RunPlan,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        sinks: Sinks,
        launcher: Launcher,
        drain: Drain,
        events: Events,
        log_lines: Callable[[str, int], Sequence[str]],
    ) -> None:
        """`log_lines(process, n)`: the last n lines of what a process has logged."""
        self._plan = plan
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._launcher = launcher
        self._drain = drain
        self._events = events
        self._log_lines = log_lines

    def look(self, now_ns: int) -> None:
        """One turn. Raises TopologyError before the run has begun."""
        self._look_at_acquirer(now_ns)
        for agent in self._sinks.workers:
            self._look_at_sink(agent, now_ns)
        if self._progress.phase is Phase.RUNNING:
            self._look_for_stalls(now_ns)

    def _look_at_acquirer(self, now_ns: int) -> None:
        agent, phase = self._acquirer, self._progress.phase
        if agent.life.is_due(now_ns) and phase is not Phase.DRAINING:
            agent.life.succeeded()
            self._launcher.spawn_acquirer()
        if agent.process is None or agent.process.is_alive:
            return
        # Its last words may still be on their way: they are heard before the next turn looks.
        if not agent.life.is_surely_dead(now_ns, owes_words=agent.process.has_said_why):
            return
        if agent.has_ended or self._memory.has_ended or phase is Phase.DRAINING:
            agent.release()
            self._drain.end_stream()
            return
        self._events.append("died", NAME, how=agent.process.exit_text)
        said, ring = agent.life.last_words, self._memory.ring
        if phase is Phase.OPENING and said:
            raise refusal(self._plan, "board", said.message, said.remedy)
        was_away, has_delivered = bool(agent.away), self._memory.n_blocks > agent.began_at_block
        epoch = ring.status().epoch if ring else None
        agent.died(now_ns, self._progress.clock_now(), epoch, has_delivered=has_delivered)
        if agent.away and not was_away:
            self._events.append("away", NAME, why=agent.away)
        if agent.life.state is WorkerState.GAVE_UP:
            failure = f"the acquirer {agent.life.failure}"
            self._tell_the_end_of_its_life(NAME, failure)
            self._drain.abort(failure)

    def _look_at_sink(self, agent: SinkAgent, now_ns: int) -> None:
        if self._memory.table:
            agent.look(self._memory.table)
        if agent.is_to_be_restarted(now_ns, self._room_s(agent)):
            self._restart(agent)
        if agent.process is None or agent.process.is_alive:
            return
        if agent.state.is_final:
            agent.release()
            agent.leave(self._memory.table)
            return
        if not agent.life.is_surely_dead(now_ns, owes_words=agent.owes_words):
            return
        self._events.append("died", agent.plan.name, how=agent.process.exit_text)
        said = agent.life.last_words
        if self._progress.phase is Phase.OPENING and said:
            raise refusal(self._plan, agent.key, said.where_and_what, said.remedy)
        agent.died(now_ns, self._room_s(agent))
        if agent.state is WorkerState.GAVE_UP:
            self._gave_up(agent)

    def _room_s(self, agent: SinkAgent) -> float | None:
        """How long the ring has room for what this sink holds; None if it holds nothing, or the board can wait."""
        ring, table, stream = self._memory.ring, self._memory.table, self._memory.stream
        if ring is None or table is None or stream is None or agent.row is None:
            return None
        if not self._acquirer.is_clocked or self._memory.has_ended:
            return None
        pin = next((pin for pin in table.pins() if pin.row == agent.row), None)
        if pin is None:
            return None
        free = ring.layout.n_slots - (self._memory.n_blocks - pin.released)
        return free * stream.samples_per_block / stream.rate_hz

    def _restart(self, agent: SinkAgent) -> None:
        if self._memory.table and agent.row is not None:
            agent.row = self._memory.table.open_successor(agent.row)
        agent.otherwise = Cause.WORKER_FAILED
        self._succeed(agent)

    def _succeed(self, agent: SinkAgent) -> None:
        agent.life.succeeded()
        self._launcher.spawn_sink(agent)

    def _gave_up(self, agent: SinkAgent) -> None:
        agent.leave(self._memory.table)
        self._tell_the_end_of_its_life(agent.plan.name, agent.failure)
        if agent.plan.essential:
            self._drain.abort(f"the essential sink {agent.plan.name} {agent.failure}")

    def _tell_the_end_of_its_life(self, process: str, why: str) -> None:
        """The end of a worker's life is told in the events, so that the logs need not be searched."""
        self._events.append("gave_up", process, why=why, log=self._log_lines(process, _LOG_LINES_TOLD))

    def _look_for_stalls(self, now_ns: int) -> None:
        """A BLOCK sink that holds the acquirer longer than its `stall_limit` is overruled."""
        ring = self._memory.ring
        if ring is None or all(agent.plan.stall_limit_s is None for agent in self._sinks.workers):
            return
        status = ring.status()
        held_s = (now_ns - status.waiting_since_ns) / 1e9 if status.waiting_since_ns else 0.0
        for agent in self._sinks.workers:
            limit_s = agent.plan.stall_limit_s
            if limit_s is None or held_s < limit_s or agent.row not in status.waiting_for:
                continue
            self._events.append("stalled", agent.plan.name, held_s=round(held_s, 3), then=agent.plan.on_stall)
            if agent.plan.on_stall == "stop":
                self._drain.abort(f"{agent.plan.name} held the board longer than its stall_limit of {limit_s:g} s")
            else:
                self._overrule(agent)

    def _overrule(self, agent: SinkAgent) -> None:
        """Let the acquirer go on: the sink's process is replaced by one that reads from the head on."""
        table = self._memory.table
        if table is None or agent.row is None:
            return
        agent.kill()
        agent.look(table)
        table.close(agent.row)
        covered = table.is_covered(agent.row)
        agent.row = table.open_at_head(agent.plan.policy, covered=covered)
        if agent.state.has_process:
            agent.life.happened(WorkerEvent.DIED)
        agent.otherwise = Cause.STALLED
        self._succeed(agent)
