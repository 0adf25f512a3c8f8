"""The supervisor of one run: one loop that hears everybody, and never waits for anybody in particular."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dtopipe.core.ending import BY_OVERTIME, Ending
from dtopipe.core.gaps import explained
from dtopipe.core.verdict import judge
from dtopipe.host.clock import mono_ns
from dtopipe.host.open_files import ensure_open_files, of_a_run
from dtopipe.model.errors import DtopipeError, NothingFollowed, UsageError
from dtopipe.model.plan import RunPlan
from dtopipe.supervisor.answers import Answers
from dtopipe.supervisor.attachments import Attachments
from dtopipe.supervisor.disks import Disks
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.hanging import Hanging
from dtopipe.supervisor.hearing import Hearing
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.recover import anchor_time
from dtopipe.supervisor.restart_requests import RestartRequests
from dtopipe.supervisor.retention import Retention
from dtopipe.supervisor.run import Phase, Run
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.status import StatusBoard
from dtopipe.supervisor.subscriptions import Subscriptions
from dtopipe.supervisor.watch import Watch
from dtopipe.wire.raw_files import index_path

_TURN_S = 0.05
_MOST_HEARD, _LONGEST_HEARING_NS = 500, 200_000_000
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
        self._hearing = Hearing(
            run,
            self._launcher,
            self._attachments,
            Answers(
                run, self._status, self._revival, self._attachments, self._subscriptions, request_stop=self.request_stop
            ),
        )
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
            self._hearing.hear(*received)
            received = run.server.receive(0)
        else:
            if received is not None:
                self._hearing.hear(*received)
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
