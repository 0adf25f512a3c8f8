"""Watching: who died, what becomes of it, and who holds the board."""

from __future__ import annotations

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.model.errors import TopologyError
from dtopipe.model.span import Cause
from dtopipe.shm.layout import Head, Stage
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.run import Phase, Run
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.wire.messages import Failed

_LOG_LINES_TOLD = 10


class Watch:
    """Looks at every process once a turn; restarts what may be restarted."""

    def __init__(self, run: Run, launcher: Launcher, drain: Drain) -> None:
        self._run = run
        self._launcher = launcher
        self._drain = drain

    def look(self, now_ns: int) -> None:
        """One turn."""
        self._look_at_acquirer(now_ns)
        for agent in self._run.sinks.values():
            self._look_at_sink(agent, now_ns)
        if self._run.phase is Phase.RUNNING:
            self._look_for_stalls(now_ns)

    def _look_at_acquirer(self, now_ns: int) -> None:
        run, agent = self._run, self._run.acquirer
        if agent.restart_due_ns is not None and now_ns >= agent.restart_due_ns and run.phase is not Phase.DRAINING:
            agent.generation += 1
            agent.restarts += 1
            self._launcher.spawn_acquirer()
        if agent.process is None or agent.process.is_alive:
            return
        if not agent.found_dead:
            # Its last words may still be on their way: they are heard before the next turn looks.
            agent.found_dead = True
            return
        ended = agent.ended or (run.ring is not None and run.ring.status().stage is Stage.ENDED)
        if ended or run.phase is Phase.DRAINING:
            agent.process.release()
            agent.process = None
            self._drain.end_stream()
            return
        run.events.append("died", "acquirer", how=agent.process.exit_text)
        if run.phase is Phase.OPENING and agent.reported:
            raise run.refusal("board", agent.reported.message, agent.reported.remedy)
        was_away, has_delivered = bool(agent.away), self._has_delivered()
        epoch = run.ring.status().epoch if run.ring else None
        agent.died(now_ns, run.clock_now()[:20], epoch, has_delivered=has_delivered)
        if agent.away and not was_away:
            run.events.append("away", "acquirer", why=agent.away)
        if agent.failure:
            self._tell_the_end_of_its_life("acquirer", agent.failure)
            self._drain.abort(agent.failure)

    def _has_delivered(self) -> bool:
        """True if the acquirer's present process, or the one that died just now, has published anything."""
        return self._run.ring is not None and self._run.ring.words[Head.HEAD] > self._run.acquirer.began_at_block

    def _look_at_sink(self, agent: SinkAgent, now_ns: int) -> None:
        run = self._run
        if run.table:
            agent.look(run.table)
        if agent.state is WorkerState.RESTARTING and agent.is_to_be_restarted(now_ns, self._room_s(agent)):
            self._restart(agent)
        if agent.process is None or agent.process.is_alive:
            return
        if agent.state.is_final:
            agent.process.release()
            agent.process = None
            run.close_row(agent)
            return
        if not agent.found_dead:
            agent.found_dead = True
            return
        run.events.append("died", agent.plan.name, how=agent.process.exit_text)
        if run.phase is Phase.OPENING and agent.reported:
            raise self._refusal(agent, agent.reported)
        agent.died(now_ns, self._room_s(agent))
        if agent.state is WorkerState.GAVE_UP:
            self._gave_up(agent)

    def _room_s(self, agent: SinkAgent) -> float | None:
        """How long the ring has room for what this sink holds; None if it holds nothing, or the board can wait."""
        run = self._run
        if run.ring is None or run.table is None or run.stream is None or agent.row is None:
            return None
        if not run.acquirer.is_clocked or run.has_ended:
            return None
        pin = next((pin for pin in run.table.pins() if pin.row == agent.row), None)
        if pin is None:
            return None
        free = run.ring.layout.n_slots - (run.ring.words[Head.HEAD] - pin.released)
        return free * run.stream.samples_per_block / run.stream.rate_hz

    def _refusal(self, agent: SinkAgent, reported: Failed) -> TopologyError:
        return self._run.refusal(f"sinks.{agent.plan.name}.path", reported.where_and_what, reported.remedy)

    def _restart(self, agent: SinkAgent) -> None:
        if self._run.table and agent.row is not None:
            agent.row = self._run.table.open_successor(agent.row)
        agent.otherwise = Cause.WORKER_FAILED
        self._succeed(agent)

    def _succeed(self, agent: SinkAgent) -> None:
        agent.generation += 1
        agent.restarts += 1
        agent.happened(WorkerEvent.SPAWNED)
        self._launcher.spawn_sink(agent)

    def _gave_up(self, agent: SinkAgent) -> None:
        self._run.close_row(agent)
        self._tell_the_end_of_its_life(agent.plan.name, agent.failure)
        if agent.plan.essential:
            self._drain.abort(f"the essential sink {agent.plan.name} {agent.failure}")

    def _tell_the_end_of_its_life(self, process: str, why: str) -> None:
        """Whoever reads the events need not search the logs."""
        log = self._run.folder.last_log_lines(process, _LOG_LINES_TOLD)
        self._run.events.append("gave_up", process, why=why, log=log)

    def _look_for_stalls(self, now_ns: int) -> None:
        """A BLOCK sink that holds the acquirer longer than its `stall_limit` is overruled."""
        run = self._run
        if run.ring is None or all(agent.plan.stall_limit_s is None for agent in run.sinks.values()):
            return
        status = run.ring.status()
        held_s = (now_ns - status.waiting_since_ns) / 1e9 if status.waiting_since_ns else 0.0
        for agent in run.sinks.values():
            limit_s = agent.plan.stall_limit_s
            if limit_s is None or held_s < limit_s or agent.row not in status.waiting_for:
                continue
            run.events.append("stalled", agent.plan.name, held_s=round(held_s, 3), then=agent.plan.on_stall)
            if agent.plan.on_stall == "stop":
                self._drain.abort(f"{agent.plan.name} held the board longer than its stall_limit of {limit_s:g} s")
            else:
                self._overrule(agent)

    def _overrule(self, agent: SinkAgent) -> None:
        """Let the acquirer go on: the sink's process is replaced by one that reads from the head on."""
        if self._run.table is None or agent.row is None:
            return
        if agent.process:
            agent.process.kill()
        agent.look(self._run.table)
        self._run.table.close(agent.row)
        covered = self._run.table.is_covered(agent.row)
        agent.row = self._run.table.open_at_head(agent.plan.policy, covered=covered)
        if agent.state.has_process:
            agent.happened(WorkerEvent.DIED)
        agent.otherwise = Cause.STALLED
        self._succeed(agent)
