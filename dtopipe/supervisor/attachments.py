"""Sinks that come and go while the run goes on: attached with a worker of their own, detached in order."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dtopipe.core.lifecycle import WorkerState
from dtopipe.model.errors import RingError, WireError
from dtopipe.model.plan import SinkPlan
from dtopipe.model.position import Position
from dtopipe.model.suggestions import nearest
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.run import Phase, Run
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.starts import Starts
from dtopipe.wire.commands import LATEST, Attaching, Attachment, AttachSinks, Detaching, Refused
from dtopipe.wire.messages import DetachNow

_log = logging.getLogger("dtopipe.supervisor")


class Attachments:
    """Answers `attach` and `detach`, and follows what becomes of both."""

    def __init__(self, run: Run, launcher: Launcher, drain: Drain) -> None:
        self._run = run
        self._launcher = launcher
        self._drain = drain
        self._starts = Starts(run)
        # Sinks that could not begin: name to (message, remedy). They are not in the run record.
        self._failed: dict[str, tuple[str, str]] = {}

    def attach(self, message: AttachSinks) -> Attaching | Refused:
        """Start these sinks, or refuse with the reason; then nothing has changed."""
        plans, document, since = message.sinks, message.document, message.since
        if refusal := self._why_not(plans) or self._why_not_since(plans, since):
            return Refused(*refusal)
        run = self._run
        for plan in plans:
            agent = SinkAgent(plan, run.folder.path)
            agent.attached_since = since
            agent.is_placed = False
            agent.fragment = document.get(plan.name)
            run.sinks[plan.name] = agent
            self._failed.pop(plan.name, None)
            run.events.append("attaching", plan.name, since=since)
        for plan in plans:
            self._launcher.spawn_sink(run.sinks[plan.name])
        return Attaching(tuple(plan.name for plan in plans))

    def attachment(self, name: str) -> Attachment | Refused:
        """How the attachment of a sink gets on."""
        if name in self._failed:
            return Refused(*self._failed[name])
        agent = self._run.sinks.get(name)
        if agent is None:
            return Refused(f"there is no sink {name!r}", nearest(name, self._run.sinks))
        return Attachment(name, agent.shown_state, agent.position.start, agent.condition.is_under_way)

    def detach(self, name: str) -> Detaching | Refused:
        """Let a sink complete its output, or refuse with the reason."""
        run = self._run
        agent = run.sinks.get(name)
        if agent is None:
            return Refused(f"there is no sink {name!r}", nearest(name, run.sinks))
        if run.phase is not Phase.RUNNING:
            what = "has not begun yet" if run.phase is Phase.OPENING else "is ending, and every sink with it"
            return Refused(f"the run {what}", "there is nothing to detach")
        if agent.detach_at is not None and agent.state.is_final:
            return Refused(f"{name} is {agent.shown_state} already", "dtopipe status shows how it ended")
        if agent.state.is_final:
            return Refused(
                f"{name} is {agent.state.value}: nothing writes it", f"dtopipe restart {name}, or dtopipe repair later"
            )
        if agent.detach_at is not None:
            agent.detaches_now = True
            return Detaching(name, agent.detach_at)
        agent.detach_at = run.end_sample_index
        run.events.append("detaching", name, at=agent.detach_at)
        if agent.state is WorkerState.RUNNING:
            run.tell_sink(agent, DetachNow())
        return Detaching(name, agent.detach_at)

    def became_ready(self, agent: SinkAgent) -> None:
        """A sink's process has opened its output: say so, or that it is to go already."""
        if agent.attached_since is not None and agent.generation == 0:
            self._run.events.append("attached", agent.plan.name, start=agent.position.start)
            self._record()
        if agent.detach_at is not None:
            self._run.tell_sink(agent, DetachNow())

    def became_done(self, agent: SinkAgent) -> None:
        """Detached in order: the record says so at once, for the next thing may be a power cut."""
        if agent.detach_at is not None:
            short = {"short_of": agent.detach_at, "why": agent.detached_short} if agent.detached_short else {}
            self._run.events.append("detached", agent.plan.name, stop=agent.position.committed, **short)
            self._record()

    def begin(self, agent: SinkAgent) -> bool:
        """Open the row of a sink that is attached, and find where it starts; False where that is not to be had."""
        run = self._run
        covered = self._launcher.is_covered(agent)
        since = LATEST if agent.attached_since is None else agent.attached_since
        try:
            agent.row, start = self._starts.open_row(agent.plan.policy, since, covered=covered)
        except (RingError, LookupError, OSError, WireError) as error:
            self._fail(agent, str(error.args[0] if isinstance(error, LookupError) else error), "")
            return False
        agent.position = Position(start, start, start)
        agent.is_placed = True
        # Before its output is there: whoever finds this run killed has to know of it.
        run.document = {**run.document, "sinks": {**run.document.get("sinks", {}), agent.plan.name: agent.fragment}}
        self._record()
        return True

    def look(self, now_ns: int, elapsed_s: float) -> None:
        """One turn: who could not begin is taken out, who does not get on with its end is cut off."""
        for agent in list(self._run.sinks.values()):
            reported = agent.reported
            is_new = agent.attached_since is not None and agent.generation == 0 and agent.ready_ns is None
            if is_new and reported is not None and agent.state.has_process:
                self._fail(agent, reported.where_and_what, reported.remedy)
            elif agent.detach_at is not None and self._run.phase is Phase.RUNNING:
                self._drain.bound_sink(agent, now_ns, elapsed_s)
        for name in [name for name in self._failed if name in self._run.sinks]:
            self._take_out(name)

    def _why_not(self, plans: Sequence[SinkPlan]) -> tuple[str, str] | None:
        run = self._run
        if run.phase is Phase.OPENING:
            return "the run has not begun yet", "ask again once dtopipe status says running"
        if run.phase is not Phase.RUNNING:
            return "the run is ending", "dtopipe convert, or dtopipe repair, write its samples anywhere afterwards"
        taken = {agent.path: name for name, agent in run.sinks.items() if agent.path is not None}
        for plan in plans:
            if plan.name in run.sinks:
                return f"there is a sink {plan.name!r} in this run already", "give it another name with --name"
            path = None if plan.path is None else run.folder.path / plan.path
            if path in taken:
                return f"sink {taken[path]} writes to {path} already", "give it a path of its own with --path"
        if self._starts.rows_left() < len(plans):
            return "the ring has as many readers as it can hold", "detach a sink, or end a program that follows the run"
        return None

    def _why_not_since(self, plans: Sequence[SinkPlan], since: str | int) -> tuple[str, str] | None:
        refusals = (self._starts.why_not(since, covered=self._run.covers(plan.policy)) for plan in plans)
        return next(filter(None, refusals), None)

    def _fail(self, agent: SinkAgent, message: str, remedy: str) -> None:
        """It never began: nothing of it stays in the record."""
        self._failed[agent.plan.name] = message, remedy
        self._run.events.append("attach_failed", agent.plan.name, why=message)

    def _take_out(self, name: str) -> None:
        run = self._run
        agent = run.sinks.pop(name)
        if agent.process:
            agent.process.kill()
        run.close_row(agent)
        if agent.is_placed:
            sinks = {key: sink for key, sink in run.document["sinks"].items() if key != name}
            run.document = {**run.document, "sinks": sinks}
            self._record()

    def _record(self) -> None:
        run = self._run
        run.save()
        try:
            run.folder.write_topology(run.document)
        except OSError as error:
            _log.warning("topology.yaml: %s", error)
