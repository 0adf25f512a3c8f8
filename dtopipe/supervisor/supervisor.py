"""The supervisor of one run: one loop that hears everybody, and never waits for anybody in particular."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dtopipe.core.ending import BY_OVERTIME, Ending, stopped_by
from dtopipe.core.gaps import explained
from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.core.link_clock import LinkPair
from dtopipe.core.verdict import judge
from dtopipe.host.clock import mono_ns
from dtopipe.host.open_files import ensure_open_files, of_a_run
from dtopipe.model.errors import DtopipeError, NothingFollowed, UsageError, WireError
from dtopipe.model.identifiers import is_run_id
from dtopipe.model.plan import RunPlan
from dtopipe.supervisor.attachments import Attachments
from dtopipe.supervisor.disks import Disks
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.hanging import Hanging
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.recover import anchor_time
from dtopipe.supervisor.restart_requests import RestartRequests
from dtopipe.supervisor.retention import Retention
from dtopipe.supervisor.run import Phase, Run
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.status import StatusBoard
from dtopipe.supervisor.subscriptions import Subscriptions
from dtopipe.supervisor.watch import Watch
from dtopipe.wire.control import Message
from dtopipe.wire.describe import channel_from, gaps_from, position_from
from dtopipe.wire.raw_files import index_path
from dtopipe.wire.shape import ensure_fields

_TURN_S = 0.05
_MOST_HEARD, _LONGEST_HEARING_NS = 500, 200_000_000
_LONGEST_DETAILS, _LONGEST_WORD = 500, 80
# What comes of values that are of another kind than they should be.
_SPOILT = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError)
_SAVE_EVERY_NS = 5_000_000_000
# A laptop that slept must not be charged for it: no turn counts as more than this.
_LONGEST_TURN_S = 1.0


class Supervisor:
    """Runs one plan from start to verdict. `request_stop` may be called from a signal handler or another thread."""

    def __init__(self, plan: RunPlan, on_turn: Callable[[dict[str, Any]], None] | None = None) -> None:
        """`on_turn` gets a status snapshot, some twenty times a second."""
        self._plan = plan
        self._on_turn = on_turn
        self._stops_wanted = 0
        self._stopped_by: Ending | None = None

    @property
    def folder(self) -> Path:
        """The run folder, once `run` was called."""
        return self._run.folder.path

    @property
    def was_stopped(self) -> bool:
        """True once somebody asked for the end."""
        return self._stops_wanted > 0

    def request_stop(self, by: Ending, *, hurry: bool = False) -> None:
        """End the run in order; the second time, or with `hurry`, without waiting for slow sinks.

        `by`: who asks; of several the first one counts.
        """
        self._stopped_by = self._stopped_by or by
        self._stops_wanted += 2 if hurry else 1

    def run(self) -> dict[str, Any]:
        """The whole run; returns its record.

        Raises UsageError where this process may not open as many files as it takes, TopologyError if it could not
        start, NothingFollowed if it was stopped before the run that it was to follow was there: then nothing is left.
        """
        ensure_open_files(of_a_run(len(self._plan.sinks)))
        self._run = run = Run(self._plan)
        self._launcher = Launcher(run)
        self._drain = Drain(run)
        self._watch = Watch(run, self._launcher, self._drain)
        self._hanging = Hanging(run)
        self._revival = RestartRequests(run, self._launcher)
        self._retention = Retention(run)
        self._attachments = Attachments(run, self._launcher, self._drain)
        self._subscriptions = Subscriptions(run, self._launcher)
        self._launcher.place = self._attachments.begin
        self._disks = Disks(run, self._drain)
        self._status = StatusBoard(run)
        self._turned_ns = self._saved_ns = mono_ns()
        keep_folder = True
        try:
            self._launcher.start_everybody()
            while run.phase is not Phase.FINISHED:
                self._turn()
            if run.acquirer.waits_for_others and run.stream is None:
                keep_folder = False
                why = run.acquirer.away or f"there was no run at {self._plan.board.options.get('endpoint')}"
                raise NothingFollowed(f"{why}, until the end: nothing is recorded")
            self._conclude()
            return run.record()
        except DtopipeError:
            keep_folder = keep_folder and run.phase is not Phase.OPENING
            raise
        except Exception:
            # Nobody may see what a run in the background says at its end.
            logging.getLogger("dtopipe.supervisor").exception("the supervisor failed")
            raise
        finally:
            self._disks.close()
            run.clear(keep_folder=keep_folder)

    def _turn(self) -> None:
        run = self._run
        received = run.server.receive(_TURN_S)
        # Whoever says too much must not keep the supervisor from its work.
        until_ns = mono_ns() + _LONGEST_HEARING_NS
        for _ in range(_MOST_HEARD):
            if received is None or mono_ns() > until_ns:
                break
            self._hear(*received)
            received = run.server.receive(0)
        else:
            if received is not None:
                self._hear(*received)
        now_ns = mono_ns()
        elapsed_s = min((now_ns - self._turned_ns) / 1e9, _LONGEST_TURN_S)
        self._turned_ns = now_ns
        self._follow_stops()
        self._hanging.look(elapsed_s)
        self._revival.look(now_ns)
        self._attachments.look(now_ns, elapsed_s)
        self._subscriptions.look()
        self._watch.look(now_ns)
        run.gateway.look(now_ns)
        self._retention.look()
        self._disks.look(now_ns)
        run.presence.look(now_ns)
        run.gather()
        run.clock_watch.look(now_ns)
        if run.board_watch.look(elapsed_s):
            self._drain.abort(run.board_watch.over_time, BY_OVERTIME)
        if run.phase is Phase.OPENING:
            self._launcher.go_on()
        elif run.phase is Phase.DRAINING:
            self._drain.go_on(now_ns, elapsed_s)
        if now_ns - self._saved_ns > _SAVE_EVERY_NS:
            self._saved_ns = now_ns
            run.save()
        if self._on_turn:
            self._on_turn(self._status.snapshot())

    def _follow_stops(self) -> None:
        if self._stopped_by is not None and self._run.phase in (Phase.OPENING, Phase.RUNNING):
            self._drain.begin(self._stopped_by)
        if self._stops_wanted > 1 and not self._run.hurried:
            self._drain.hurry()

    def _hear(self, address: bytes, message: Message) -> None:
        run = self._run
        try:
            if message.kind == "status":
                run.server.send(address, Message("status", self._status.snapshot()))
            elif message.kind == "stop":
                by = stopped_by(*(_word(message, key) for key in ("user", "host")))
                self.request_stop(by, hurry=message.get("now", bool, False))
                run.server.send(address, Message("stopping", {"folder": str(run.folder.path)}))
            elif message.kind == "restart":
                run.server.send(address, self._revival.ask(message.get("name", str), mono_ns()))
            elif message.kind == "attach":
                run.server.send(address, self._attachments.attach(message))
            elif message.kind == "attachment":
                run.server.send(address, self._attachments.attachment(message.get("name", str)))
            elif message.kind == "subscribe":
                run.server.send(address, self._subscriptions.subscribe(message))
            elif message.kind == "unsubscribe":
                self._subscriptions.unsubscribe(message.get("key", str))
            elif message.kind == "detach":
                run.server.send(address, self._attachments.detach(message.get("name", str)))
            elif address == run.gateway.address:
                run.gateway.hear(message)
            elif address == run.acquirer.address.encode():
                self._hear_acquirer(message)
            else:
                for agent in run.sinks.values():
                    if address == agent.address.encode():
                        self._hear_sink(agent, message)
        except (WireError, *_SPOILT) as error:
            # Whatever a message holds, it ends no run.
            if run.server.malformed.note(error):
                run.events.append("malformed_message", details=f"{type(error).__name__}: {error}"[:_LONGEST_DETAILS])

    def _hear_acquirer(self, message: Message) -> None:
        agent = self._run.acquirer
        if message.kind == "opened":
            _ensure_opened(message)
            agent.opened, agent.opened_now = message, True
            if self._run.phase is Phase.RUNNING:
                self._launcher.start_board()
            elif self._run.phase is Phase.DRAINING:
                # It could not be told before: nobody listened yet.
                self._run.tell_acquirer(Message("stop"))
        elif message.kind == "ended":
            agent.ended = True
        elif message.kind == "away":
            agent.went_away(message.get("message", str), self._run.clock_now())
            self._run.events.append("away", "acquirer", why=agent.away)
        elif message.kind == "back":
            agent.came_back()
            self._run.events.append("back", "acquirer")
        elif message.kind == "compared":
            pair = LinkPair(*message.get("pair", list))
            ensure_fields(pair)
            agent.compared(pair)
            self._run.clock.append_link(self._run.end_sample_index, pair)
        elif message.kind == "failed":
            agent.reported = message
            self._run.events.append("failed", "acquirer", message=message.get("message", str))

    def _hear_sink(self, agent: SinkAgent, message: Message) -> None:
        run, name = self._run, agent.plan.name
        if message.kind == "hello":
            agent.said_hello = True
            self._launcher.begin_sink(agent)
        elif message.kind == "ready" and agent.state is WorkerState.OPENING:
            agent.position = position_from(message.body)
            agent.became_ready(mono_ns())
            # Why its predecessor ended is no state of this one; it stands in the events.
            agent.failure = ""
            agent.happened(WorkerEvent.SAID_READY)
            if run.phase is not Phase.OPENING:
                agent.happened(WorkerEvent.BOARD_STARTED)
            run.events.append("ready", name, committed=agent.position.committed)
            self._attachments.became_ready(agent)
        elif message.kind == "gaps":
            gaps = gaps_from(message.get("gaps", list))
            agent.absence.note(run.gaps.append(name, gaps))
        elif message.kind == "away":
            agent.away = message.get("message", str)
            run.events.append("away", name, why=agent.away, remedy=message.get("remedy", str, ""))
        elif message.kind == "back":
            agent.away = ""
            run.events.append("back", name)
        elif message.kind == "closed":
            agent.is_closed = True
            agent.remark = message.get("remark", str, "")
        elif message.kind == "done" and not agent.state.is_final:
            agent.position = position_from(message.body)
            if agent.cut_off_at_ns and agent.detach_at is not None and agent.is_closed:
                # Whoever took it out knows where it ends; all that it has is in order.
                agent.detached_short, agent.cut_off_at_ns = agent.failure, 0
            elif agent.cut_off_at_ns and not agent.is_closed:
                agent.failure += "; its output could not be closed"
            agent.happened(WorkerEvent.WAS_CUT_OFF if agent.cut_off_at_ns else WorkerEvent.SAID_DONE)
            run.events.append("done", name, committed=agent.position.committed)
            self._attachments.became_done(agent)
        elif message.kind == "failed":
            agent.reported = message
            run.events.append("failed", name, message=message.get("message", str))

    def _conclude(self) -> None:
        """The accounting identity, the verdict, and the record of it all."""
        run = self._run
        self._disks.make_room()
        end = run.end_sample_index
        outcomes = []
        for agent in run.sinks.values():
            stop = agent.stop(end)
            self._record_tail(agent, stop)
            outcomes.append(agent.outcome(stop))
        simulated = run.stream is not None and run.stream.simulated
        run.verdict = judge(
            outcomes,
            end_sample_index=end,
            aborted=run.aborted,
            simulated=simulated,
            ended_early=run.ended_early,
            first_sample_index=run.acquirer.first_sample_index,
            followed=run.followed,
            ended_by=run.ended_by,
            remarks=run.remarks,
        )
        run.finished_at = datetime.fromtimestamp(run.times.utc_ns() / 1e9, UTC).isoformat()
        ended_by = run.ended_by.by.value if run.ended_by else ""
        run.events.append("finished", verdict=run.verdict.state.value, text=run.verdict.text, ended_by=ended_by)
        self._save_at_last()
        if run.journal is not None and run.journal.path is not None:
            # A cache for those who read along: nobody does any more.
            with contextlib.suppress(OSError):
                index_path(run.journal.path).unlink(missing_ok=True)

    def _save_at_last(self) -> None:
        """The verdict has to be on disk: a full one is waited for as long as a sink is. Raises UsageError."""
        deadline = time.monotonic() + self._plan.drain_limit_s
        while not self._run.save():
            if time.monotonic() >= deadline:
                path = self._run.folder.record_path
                raise UsageError(
                    f"{path} has no room on its disk\n    free some space, then: dtopipe repair {path.parent}"
                )
            time.sleep(_TURN_S)

    def _record_tail(self, agent: SinkAgent, end: int) -> None:
        """Write down what a sink that was cut off or gave up lacks at its end."""
        run = self._run
        if run.ring is None or run.stream is None:
            return
        time_at = anchor_time(run.ring.anchor(), run.stream.rate_hz)
        gaps = explained(agent.tail(end), run.ring.board_gaps(), agent.tail_cause, time_at)
        agent.absence.note(run.gaps.append(agent.plan.name, gaps))


def _word(message: Message, key: str) -> str:
    """A word that somebody said of himself, fit for a terminal; empty if he did not."""
    said = message.get(key, str, "")
    return "".join(letter for letter in said if letter.isprintable())[:_LONGEST_WORD]


def _ensure_opened(message: Message) -> None:
    """Raises WireError if a board says of itself what nothing can be made of."""
    for channel in message.get("channels", list):
        channel_from(channel)
    for key, kind in (("device", str), ("dtype", str), ("rate_hz", float), ("samples_per_block", int)):
        message.get(key, kind)
    for key in ("clocked", "resumable", "simulated"):
        message.get(key, bool)
    for key in ("descriptor_endpoint", "credit_endpoint"):
        message.get(key, str)
    message.get("metadata", dict)
    message.get("first_sample_index", int, 0)
    if (run_id := message.get("run_id", str, "")) and not is_run_id(run_id):
        raise WireError("the run that is followed has an id that is none")
