"""The gateway as the supervisor knows it: started before the run, told of its end, started anew when it dies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dtopipe.core.budget import GiveUp, RestartBudget
from dtopipe.host.clock import mono_ns
from dtopipe.model.plan import ListenPlan, RestartPlan
from dtopipe.model.span import Gap
from dtopipe.supervisor.processes import WorkerProcess
from dtopipe.wire.message_fields import body_of
from dtopipe.wire.messages import (
    BeginServing,
    Failed,
    GatewaySays,
    Held,
    HoldAsked,
    RemoteEvent,
    RemoteFacts,
    RemoteGaps,
    RemotesServed,
    RunEnded,
    Serving,
)
from dtopipe.wire.orders import GatewayOrders

if TYPE_CHECKING:
    from dtopipe.supervisor.run import Run

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


class Gateway:
    """Serves the run to other machines, if its topology says `listen`. It harms no sink by anything that it does."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._plan: ListenPlan | None = run.plan.listen
        self._process: WorkerProcess | None = None
        self._generation = 0
        self._endpoint = ""
        self._remotes: tuple[RemoteFacts, ...] = ()
        # What became of those that are served no more, by name; the last ones.
        self._former: dict[str, str] = {}
        # Remotes by id, for whom the journal keeps what is not durable there: their names, and from which sample on.
        self._held: dict[str, tuple[str, int]] = {}
        self._gaps_noted = 0
        # Requests that were dropped: by predecessors of its process, and with its own.
        self._malformed_before = self._malformed = 0
        self._reported: Failed | None = None
        self._ready_ns: int | None = None
        self._restart_due_ns: int | None = None
        self._hurried_ns = 0
        self._has_begun = self._was_told = self._found_dead = self._is_over = False
        self._budget = RestartBudget(_RESTARTS)
        self.failure = ""

    @property
    def address(self) -> bytes:
        """The control address of the present process."""
        return f"{NAME}.{self._generation}".encode()

    @property
    def lets_begin(self) -> bool:
        """True once it listens, or where none is wanted."""
        return self._plan is None or bool(self._endpoint)

    @property
    def has_ended(self) -> bool:
        """True once no process of it is left, nor will be."""
        return self._plan is None or (self._is_over and self._process is None)

    def spawn(self) -> None:
        """Start its process, if one is wanted."""
        plan = self._plan
        if plan is None:
            return
        self._reported, self._ready_ns, self._restart_due_ns = None, None, None
        self._malformed_before = self._malformed
        self._has_begun = self._was_told = self._found_dead = False
        orders = GatewayOrders(
            **self._run.common_orders(),
            name=NAME,
            lock=NAME,
            address=self.address.decode(),
            endpoint=self._endpoint or plan.endpoint,
            insecure=plan.insecure,
            keep_for_s=plan.keep_for_s,
            expected=tuple(r.remote_id for r in self._remotes if not r.finished and r.policy == "block"),
        )
        self._process = WorkerProcess("dtopipe.workers.gateway", orders, self._run.folder.log_path(NAME))
        self._run.events.append("started", NAME, pid=self._process.pid)

    def hear(self, message: GatewaySays) -> None:
        """What its process says."""
        run = self._run
        if isinstance(message, Serving):
            self._endpoint = message.endpoint
            self._ready_ns = mono_ns()
            insecure = self._plan is not None and self._plan.insecure
            run.events.append("serving", NAME, endpoint=self._endpoint, insecure=insecure)
        elif isinstance(message, RemotesServed):
            self._remotes = message.remotes
            self._malformed = self._malformed_before + message.malformed
            for remote in self._remotes:
                if remote.remote_id in self._held:
                    _, before = self._held[remote.remote_id]
                    self._held[remote.remote_id] = remote.shown_name, max(remote.durable, before)
        elif isinstance(message, HoldAsked):
            self._hold(message.remote, message.at)
        elif isinstance(message, RemoteGaps):
            self._note(message.name, message.gaps)
        elif isinstance(message, RemoteEvent):
            if message.event in _OVER and message.remote is not None:
                # Its process may be killed before it says so in a list: a successor would wait for them.
                self._part_with(message)
                self._held.pop(message.remote, None)
            run.events.append(message.event, NAME, **message.facts())
        elif isinstance(message, Failed):
            self._reported = message
            run.events.append("failed", NAME, message=message.message)

    def look(self, now_ns: int) -> None:
        """One turn: bring it to work, tell it of the end, see whether it lives. Raises TopologyError before the run."""
        if self._plan is None or self._is_over:
            return
        if self._process is None:
            if self._restart_due_ns is not None and now_ns >= self._restart_due_ns:
                self._generation += 1
                self.spawn()
            return
        if not self._process.is_alive:
            self._look_at_dead(now_ns)
        elif self._ready_ns is not None:
            self._tell()

    def end(self, now_ns: int) -> None:
        """One turn of the end of the run; after a second request to stop nobody is waited for."""
        if self._run.hurried:
            self._hurried_ns = self._hurried_ns or now_ns
            if now_ns - self._hurried_ns > _HURRY_NS:
                self.kill()
        if self._run.ring is None:
            self.kill()

    def kill(self) -> None:
        """At once."""
        self._is_over = True
        if self._process is not None:
            self._process.kill()
            self._process = None

    def kept(self) -> dict[str, int]:
        """From which sample on the journal has to keep what it has, by the names of remotes that lack it."""
        return {f"{_REMOTE}{name or key[:8]}": at for key, (name, at) in self._held.items()}

    def snapshot(self) -> dict[str, Any] | None:
        """For tables; None where nothing is served."""
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

    def _hold(self, remote_id: str, at: int) -> None:
        """What the journal has from there on is kept until it is durable at that remote."""
        run = self._run
        if run.table is None:
            return
        oldest = max(at, run.table.settled())
        self._held.setdefault(remote_id, ("", oldest))
        run.server.send(self.address, Held(remote_id, oldest))

    def _part_with(self, event: RemoteEvent) -> None:
        """Somebody is served no more."""
        gone = next((remote for remote in self._remotes if remote.remote_id == event.remote), None)
        self._remotes = tuple(remote for remote in self._remotes if remote.remote_id != event.remote)
        name = event.shown_name
        # Who drops goes by itself, also with everything.
        is_up_to_date = gone is not None and self._run.has_ended and gone.sent >= self._run.end_sample_index
        has_everything = event.event == _FINISHED or is_up_to_date
        self._former.pop(name, None)
        self._former[name] = "has everything" if has_everything else "left"
        for name in list(self._former)[:-_MOST_FORMER]:
            del self._former[name]

    def _note(self, name: str, gaps: Sequence[Gap]) -> None:
        """What a remote lacks, as it says: no more than can be, nor than a disk should hold of strangers' words."""
        end, room = self._run.end_sample_index, _MOST_GAPS - self._gaps_noted
        believed = [gap for gap in gaps if gap.span.stop <= end][: max(0, room)]
        self._gaps_noted += len(believed)
        self._run.gaps.append(_REMOTE + name, believed)

    def _tell(self) -> None:
        run, journal = self._run, self._run.journal
        if run.ring is None or run.stream is None:
            return
        if not self._has_begun:
            self._has_begun = True
            begin = BeginServing(
                stream=run.stream,
                **run.memory(),
                journal=None if journal is None else str(journal.path),
                retires=journal is not None and journal.plan.retires,
            )
            run.server.send(self.address, begin)
        if not self._was_told and run.has_ended and (journal is None or journal.state.is_final):
            self._was_told = True
            run.server.send(self.address, RunEnded(run.end_sample_index))

    def _look_at_dead(self, now_ns: int) -> None:
        """In order at the end of the run; anything else is a death, after which it is started anew."""
        run, process = self._run, self._process
        if process is None:
            return
        if not self._found_dead:
            # Its last words may still be on their way.
            self._found_dead = True
            return
        process.release()
        self._process = None
        if self._was_told and self._reported is None and process.has_ended_in_order:
            self._is_over = True
            return
        run.events.append("died", NAME, how=process.exit_text)
        why = self._reported.message if self._reported else process.exit_text
        if not run.has_begun:
            remedy = self._reported.remedy if self._reported else ""
            raise run.refusal("listen.endpoint", why, remedy)
        answer = self._budget.died(now_ns, self._ready_ns)
        if isinstance(answer, GiveUp):
            self._is_over, self.failure = True, f"gave up after {answer.text}: {why}"
            self._held.clear()
            run.events.append("gave_up", NAME, why=self.failure)
        else:
            self._restart_due_ns = now_ns + round(answer.pause_s * 1e9)
