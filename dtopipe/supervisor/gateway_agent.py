"""The gateway as the supervisor knows it: started before the run, told of its end, started anew when it dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.core.link import FOLLOWER_SILENCE_NS
from dtopipe.core.worker import Death, WorkerLife
from dtopipe.host.clock import mono_ns
from dtopipe.model.plan import RestartPlan, RunPlan
from dtopipe.model.span import Gap
from dtopipe.supervisor.ports import Events, GapLines, Post, Process, Starter
from dtopipe.supervisor.progress import Progress
from dtopipe.supervisor.refusal import refusal
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.message_fields import body_of
from dtopipe.wire.messages import (
    BeginServing,
    Failed,
    GatewaySays,
    Held,
    Hello,
    HoldAsked,
    RemoteEvent,
    RemoteFacts,
    RemoteGaps,
    RemotesServed,
    RunEnded,
    Serving,
)
from dtopipe.wire.orders import GatewayOrders

NAME = "gateway"
# Other machines need it, nobody here does: it may die often.
_RESTARTS = RestartPlan(max_restarts=20, within_s=60.0)
# Events after which a remote is waited for no longer, and nothing is kept for it.
_FINISHED = "remote_finished"
_OVER = (
    _FINISHED, "remote_left", "remote_left_behind", "remote_replaced", "remote_revoked", "remote_forgotten",
)  # fmt: skip
# Of all remotes of a run; the remotes have their own on record.
_MOST_GAPS = 50_000
# Shown of those that were served.
_MOST_FORMER = 5
# Before the names of remotes, where other names are those of sinks.
_REMOTE = "remote:"
# After a second Ctrl-C.
_HURRY_NS = 2_000_000_000


class GatewayAgent:
    """Serves the run to other machines, if its topology says `listen`. It harms no sink by anything that it does."""

    def __init__(
        self,
        plan: RunPlan,
        progress: Progress,
        memory: RunMemory,
        sinks: Sinks,
        starter: Starter,
        post: Post,
        events: Events,
        gaps: GapLines,
    ) -> None:
        self._run_plan = plan
        self._plan = plan.listen
        self._progress = progress
        self._memory = memory
        self._sinks = sinks
        self._starter = starter
        self._post = post
        self._events = events
        self._gaps = gaps
        self._life = WorkerLife(_RESTARTS)
        self._process: Process | None = None
        self._endpoint = ""
        self._remotes: tuple[RemoteFacts, ...] = ()
        # What became of those that are served no more, by name; the last ones.
        self._former: dict[str, str] = {}
        # Remotes by id, for whom the journal keeps what is not durable there: their names, and from which sample on.
        self._held: dict[str, tuple[str, int]] = {}
        # Since when those of them are away that are.
        self._away_since_ns: dict[str, int] = {}
        self._gaps_noted = 0
        # Requests that were dropped: by predecessors of its process, and with its own.
        self._malformed_before = self._malformed = 0
        self._hurried_ns = 0
        self._was_told_the_end = False
        self.failure = ""

    @property
    def address(self) -> bytes:
        """The control address of the present process."""
        return f"{NAME}.{self._life.generation}".encode()

    @property
    def lets_begin(self) -> bool:
        """True once it listens, or where none is wanted."""
        return self._plan is None or bool(self._endpoint)

    @property
    def has_ended(self) -> bool:
        """True once no process of it is left, nor will be."""
        return self._plan is None or (self._life.state.is_final and self._process is None)

    def spawn(self) -> None:
        """Start its process, if one is wanted."""
        if self._plan is None:
            return
        self._life.spawned()
        self._malformed_before = self._malformed
        self._was_told_the_end = False
        self._process = self._starter.start(NAME, "dtopipe.workers.gateway", self._orders)

    def hear(self, message: GatewaySays) -> None:
        """What its process says."""
        match message:
            case Hello():
                pass
            case Serving():
                self._endpoint = message.endpoint
                self._life.ready_ns = mono_ns()
                if self._life.may(WorkerEvent.SAID_READY):
                    self._life.happened(WorkerEvent.SAID_READY)
                insecure = self._plan is not None and self._plan.insecure
                self._events.append("serving", NAME, endpoint=self._endpoint, insecure=insecure)
            case RemotesServed():
                self._follow(message)
            case HoldAsked():
                self._hold(message.remote, message.at)
            case RemoteGaps():
                self._note(message.name, message.gaps)
            case RemoteEvent():
                if message.event in _OVER and message.remote is not None:
                    # Its process may be killed before it says so in a list: a successor would wait for them.
                    self._part_with(message)
                    self._held.pop(message.remote, None)
                self._events.append(message.event, NAME, **message.facts())
            case Failed():
                self._life.last_words = message
                self._events.append("failed", NAME, message=message.message)
            case _:
                assert_never(message)

    def look(self, now_ns: int) -> None:
        """One turn: bring it to work, tell it of the end, see whether it lives. Raises TopologyError before the run."""
        if self._plan is None or self._life.state.is_final:
            return
        if self._process is None:
            if self._life.is_due(now_ns):
                self._life.succeeded()
                self.spawn()
            return
        if not self._process.is_alive:
            self._look_at_dead(self._process, now_ns)
        elif self._life.state in (WorkerState.READY, WorkerState.RUNNING):
            self._tell()

    def end(self, now_ns: int) -> None:
        """One turn of the end of the run; after a second request to stop nobody is waited for."""
        if self._progress.is_hurried:
            self._hurried_ns = self._hurried_ns or now_ns
            if now_ns - self._hurried_ns > _HURRY_NS:
                self.kill()
        if self._memory.ring is None:
            self.kill()

    def kill(self) -> None:
        """The process is killed at once."""
        if not self._life.state.is_final:
            self._life.happened(WorkerEvent.WAS_CUT_OFF)
        if self._process is not None:
            self._process.kill()
            self._process = None

    def kept(self) -> dict[str, int]:
        """The samples from which the journal has to keep what it has, by the names of remotes that lack it."""
        return {f"{_REMOTE}{name or key[:8]}": at for key, (name, at) in self._held.items()}

    def forgotten_in_s(self, now_ns: int) -> float | None:
        """How long what a remote lacks that is away is still kept in the journal; None if none is away, or for ever."""
        keep_for_s = None if self._plan is None else self._plan.keep_for_s
        if keep_for_s is None or not self._away_since_ns:
            return None
        # It was silent for a while before it was away.
        since_ns = min(self._away_since_ns.values()) - FOLLOWER_SILENCE_NS
        return max(0.0, keep_for_s - (now_ns - since_ns) / 1e9)

    def snapshot(self) -> dict[str, Any] | None:
        """The facts for tables; None where nothing is served."""
        if self._plan is None:
            return None
        return {
            "endpoint": self._endpoint or self._plan.endpoint,
            "insecure": self._plan.insecure,
            "pid": self._process.pid if self._process else None,
            "remotes": [body_of(remote) for remote in self._remotes],
            "former": dict(self._former),
            "malformed": self._malformed,
            **({"failure": self.failure} if self.failure else {}),
        }

    def _orders(self, common: Mapping[str, Any]) -> GatewayOrders:
        plan = self._plan
        if plan is None:
            raise RuntimeError("no gateway is wanted")
        return GatewayOrders(
            **common,
            name=NAME,
            lock=NAME,
            address=self.address.decode(),
            endpoint=self._endpoint or plan.endpoint,
            insecure=plan.insecure,
            keep_for_s=plan.keep_for_s,
            expected=tuple(r.remote_id for r in self._remotes if not r.finished and r.policy == "block"),
        )

    def _follow(self, message: RemotesServed) -> None:
        self._remotes = message.remotes
        self._malformed = self._malformed_before + message.malformed
        away = {remote.remote_id for remote in self._remotes if remote.away and remote.remote_id in self._held}
        self._away_since_ns = {key: self._away_since_ns.get(key, mono_ns()) for key in away}
        for remote in self._remotes:
            if remote.remote_id in self._held:
                _, before = self._held[remote.remote_id]
                self._held[remote.remote_id] = remote.shown_name, max(remote.durable, before)

    def _hold(self, remote_id: str, at: int) -> None:
        """What the journal has from there on is kept until it is durable at that remote."""
        table = self._memory.table
        if table is None:
            return
        oldest = max(at, table.settled())
        self._held.setdefault(remote_id, ("", oldest))
        self._post.send(self.address, Held(remote_id, oldest))

    def _part_with(self, event: RemoteEvent) -> None:
        """Somebody is served no more."""
        gone = next((remote for remote in self._remotes if remote.remote_id == event.remote), None)
        self._remotes = tuple(remote for remote in self._remotes if remote.remote_id != event.remote)
        name = event.shown_name
        # Who drops goes by itself, also with everything.
        memory = self._memory
        is_up_to_date = gone is not None and memory.has_ended and gone.sent >= memory.end_sample_index
        has_everything = event.event == _FINISHED or is_up_to_date
        self._former.pop(name, None)
        self._former[name] = "has everything" if has_everything else "left"
        for former in list(self._former)[:-_MOST_FORMER]:
            del self._former[former]

    def _note(self, name: str, gaps: Sequence[Gap]) -> None:
        """What a remote lacks, as it says: no more than can be, nor than a disk should hold of strangers' words."""
        end, room = self._memory.end_sample_index, _MOST_GAPS - self._gaps_noted
        believed = [gap for gap in gaps if gap.span.stop <= end][: max(0, room)]
        self._gaps_noted += len(believed)
        self._gaps.append(_REMOTE + name, believed)

    def _tell(self) -> None:
        memory, journal = self._memory, self._sinks.journal
        if memory.ring is None or memory.stream is None:
            return
        if self._life.state is WorkerState.READY:
            self._life.happened(WorkerEvent.BOARD_STARTED)
            begin = BeginServing(
                stream=memory.stream,
                **memory.facts(),
                journal=None if journal is None else str(journal.path),
                retires=journal is not None and journal.plan.retires,
            )
            self._post.send(self.address, begin)
        if not self._was_told_the_end and memory.has_ended and (journal is None or journal.state.is_final):
            self._was_told_the_end = True
            self._post.send(self.address, RunEnded(memory.end_sample_index))

    def _look_at_dead(self, process: Process, now_ns: int) -> None:
        """An end behind that of the run is in order; any other is a death, after which the gateway is started anew."""
        if not self._life.is_surely_dead(now_ns, owes_words=process.has_said_why):
            return
        process.release()
        self._process = None
        said = self._life.last_words
        if self._was_told_the_end and said is None and process.has_ended_in_order:
            self._life.happened(WorkerEvent.SAID_DONE)
            return
        self._events.append("died", NAME, how=process.exit_text)
        if not self._progress.has_begun:
            why, remedy = (process.exit_text, "") if said is None else (said.message, said.remedy)
            raise refusal(self._run_plan, "listen.endpoint", why, remedy)
        self._life.died(Death(now_ns, process.exit_text, self._life.ready_ns))
        if self._life.state is WorkerState.GAVE_UP:
            self.failure = self._life.failure
            self._held.clear()
            self._away_since_ns.clear()
            self._events.append("gave_up", NAME, why=self.failure)
