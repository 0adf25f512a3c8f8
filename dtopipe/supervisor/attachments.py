"""Sinks that come and go while the run goes on: attached with a worker of their own, detached in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dtopipe.core.lifecycle import WorkerState
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Policy
from dtopipe.model.suggestions import nearest
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.placement import Placement
from dtopipe.supervisor.ports import Events, Post
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.supervisor.starts import Starts
from dtopipe.topology.triggers import Room, trigger_sizes
from dtopipe.wire.commands import Attaching, Attachment, AttachSinks, Detaching, Refused
from dtopipe.wire.messages import DetachNow


class Attachments:
    """Answers `attach` and `detach`, and follows what becomes of both."""

    def __init__(
        self,
        folder: Path,
        progress: Progress,
        memory: RunMemory,
        sinks: Sinks,
        starts: Starts,
        placement: Placement,
        launcher: Launcher,
        drain: Drain,
        record: RunRecord,
        post: Post,
        events: Events,
    ) -> None:
        """`folder`: the run's, in which outputs are."""
        self._folder = folder
        self._progress = progress
        self._memory = memory
        self._sinks = sinks
        self._starts = starts
        self._placement = placement
        self._launcher = launcher
        self._drain = drain
        self._record = record
        self._post = post
        self._events = events
        # Sinks that could not begin: name to (message, remedy). They are not in the run record.
        self._failed: dict[str, tuple[str, str]] = {}

    def attach(self, message: AttachSinks) -> Attaching | Refused:
        """Start these sinks, or refuse with the reason; then nothing has changed."""
        plans, document, since = message.sinks, message.document, message.since
        if refusal := self._why_not(plans) or self._why_not_since(plans, since):
            return Refused(*refusal)
        for plan in plans:
            agent = SinkAgent(plan, self._folder)
            agent.attached_since = since
            agent.is_placed = False
            agent.fragment = document.get(plan.name)
            self._sinks.by_name[plan.name] = agent
            self._failed.pop(plan.name, None)
            self._events.append("attaching", plan.name, since=since)
        for plan in plans:
            self._launcher.spawn_sink(self._sinks.by_name[plan.name])
        return Attaching(tuple(plan.name for plan in plans))

    def attachment(self, name: str) -> Attachment | Refused:
        """How the attachment of a sink gets on."""
        if name in self._failed:
            return Refused(*self._failed[name])
        agent = self._sinks.by_name.get(name)
        if agent is None:
            return Refused(f"there is no sink {name!r}", nearest(name, self._sinks.by_name))
        return Attachment(name, agent.shown_state, agent.position.start, agent.condition.is_under_way)

    def detach(self, name: str) -> Detaching | Refused:
        """Let a sink complete its output, or refuse with the reason."""
        agent, phase = self._sinks.by_name.get(name), self._progress.phase
        if agent is None:
            return Refused(f"there is no sink {name!r}", nearest(name, self._sinks.by_name))
        if phase is not Phase.RUNNING:
            what = "has not begun yet" if phase is Phase.OPENING else "is ending, and every sink with it"
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
        agent.detach_at = self._memory.end_sample_index
        self._events.append("detaching", name, at=agent.detach_at)
        if agent.state is WorkerState.RUNNING:
            self._post.send(agent.address, DetachNow())
        return Detaching(name, agent.detach_at)

    def became_ready(self, agent: SinkAgent) -> None:
        """A sink's process has opened its output: say so, or that it is to go already."""
        if agent.attached_since is not None and agent.life.generation == 0:
            self._events.append("attached", agent.plan.name, start=agent.position.start)
            self._record.save_all()
        if agent.detach_at is not None:
            self._post.send(agent.address, DetachNow())

    def became_done(self, agent: SinkAgent) -> None:
        """Detached in order: the record says so at once, for the next thing may be a power cut."""
        if agent.detach_at is not None:
            short = {"short_of": agent.detach_at, "why": agent.detached_short} if agent.detached_short else {}
            self._events.append("detached", agent.plan.name, stop=agent.position.committed, **short)
            self._record.save_all()

    def look(self, now_ns: int, elapsed_s: float) -> None:
        """One turn: who could not begin is taken out, who does not get on with its end is cut off."""
        for agent in self._sinks:
            said = agent.life.last_words
            is_new = agent.attached_since is not None and agent.life.generation == 0 and agent.life.ready_ns is None
            if is_new and said is not None and agent.state.has_process:
                self._placement.fail(agent, said.where_and_what, said.remedy)
            elif agent.detach_at is not None and self._progress.phase is Phase.RUNNING:
                self._drain.bound_sink(agent, now_ns, elapsed_s)
            if agent.never_began is not None:
                self._failed[agent.plan.name] = agent.never_began
                self._take_out(agent)

    def _why_not(self, plans: Sequence[SinkPlan]) -> tuple[str, str] | None:
        phase = self._progress.phase
        if phase is Phase.OPENING:
            return "the run has not begun yet", "ask again once dtopipe status says running"
        if phase is not Phase.RUNNING:
            return "the run is ending", "dtopipe convert, or dtopipe repair, write its samples anywhere afterwards"
        taken = {agent.path: agent.plan.name for agent in self._sinks if agent.path is not None}
        for plan in plans:
            if plan.name in self._sinks.workers_by_name:
                return f"there is a sink {plan.name!r} in this run already", "give it another name with --name"
            path = None if plan.path is None else self._folder / plan.path
            if path in taken:
                return f"sink {taken[path]} writes to {path} already", "give it a path of its own with --path"
        for key, what, _ in trigger_sizes(plans, self._room()):
            return f"{key}: {what}", "take shorter times; a run with a journal, or with a longer ring, has more room"
        if self._starts.rows_left() < len(plans):
            return "the ring has as many readers as it can hold", "detach a sink, or end a program that follows the run"
        return None

    def _room(self) -> Room:
        """What a trigger has to look back on."""
        ring, stream = self._memory.ring, self._memory.stream
        is_covered = self._sinks.covers(Policy.BLOCK)
        if ring is None or stream is None:
            return Room(1.0, 0.0, 1, math.inf, is_covered)
        rate_hz, length = stream.rate_hz, stream.samples_per_block
        per_s = rate_hz * len(stream.channels) * np.dtype(stream.dtype).itemsize
        return Room(rate_hz, per_s, length, ring.layout.n_slots * length / rate_hz, is_covered)

    def _why_not_since(self, plans: Sequence[SinkPlan], since: str | int) -> tuple[str, str] | None:
        refusals = (self._starts.why_not(since, covered=self._sinks.covers(plan.policy)) for plan in plans)
        return next(filter(None, refusals), None)

    def _take_out(self, agent: SinkAgent) -> None:
        del self._sinks.by_name[agent.plan.name]
        agent.kill()
        agent.leave(self._memory.table)
        if agent.is_placed:
            self._record.drop_sink(agent.plan.name)
