"""Restarting sinks on request: those that gave up or were cut off, and those that run."""

from __future__ import annotations

from dtopipe.core.lifecycle import WorkerState
from dtopipe.model.span import Cause
from dtopipe.model.suggestions import nearest
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.ports import Events, Post
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.commands import Refused, Restarting
from dtopipe.wire.messages import LetGo

# A process that was told to let go of its output, and does not.
_LET_GO_LIMIT_S = 5.0


class RestartRequests:
    """Gives a sink a new process and a fresh budget; its output goes on behind its last commit."""

    def __init__(self, progress: Progress, sinks: Sinks, launcher: Launcher, post: Post, events: Events) -> None:
        self._progress = progress
        self._sinks = sinks
        self._launcher = launcher
        self._post = post
        self._events = events

    def ask(self, name: str, now_ns: int) -> Restarting | Refused:
        """What a command is answered: `restarting`, or `refused` with the reason."""
        agents = self._sinks.workers_by_name
        agent = agents.get(name)
        if agent is None:
            return Refused(f"there is no sink {name!r}", nearest(name, agents))
        if self._progress.phase is Phase.OPENING:
            return Refused("the run has not begun yet", "ask again once dtopipe status says running")
        if agent.state in (WorkerState.DONE, WorkerState.CANCELLED):
            return Refused(f"{name} is {agent.state.value}: its output is closed", "there is nothing to restart")
        if agent.cut_off_at_ns and not agent.state.is_final:
            return Refused(f"{name} is being cut off", "ask again in a moment")
        before, restarts = agent.shown_state, agent.life.restarts
        self._events.append("restart_asked", name, state=before)
        agent.begin_anew(now_ns)
        if agent.state.is_final:
            self._revive(agent)
        elif agent.process:
            agent.restart_asked_ns = now_ns
            self._post.send(agent.address, LetGo())
        return Restarting(name, before, restarts)

    def look(self, now_ns: int) -> None:
        """One turn: whoever does not let go of its output is killed, which costs it no more than its last interval."""
        for agent in self._sinks.workers:
            asked_ns = agent.restart_asked_ns
            if agent.process and asked_ns is not None and now_ns - asked_ns > _LET_GO_LIMIT_S * 1e9:
                self._events.append("killed", agent.plan.name, why="it did not let go of its output")
                agent.process.kill()
                agent.restart_asked_ns = now_ns

    def _revive(self, agent: SinkAgent) -> None:
        agent.kill()
        agent.otherwise = Cause.WORKER_FAILED
        agent.life.revived()
        self._launcher.spawn_sink(agent)
