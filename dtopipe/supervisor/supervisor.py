"""The supervisor of one run: one loop that hears everybody, and never waits for anybody in particular."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dtopipe.core.ending import BY_OVERTIME, Ending
from dtopipe.core.incoming import incoming
from dtopipe.host.clock import mono_ns
from dtopipe.host.open_files import ensure_open_files, of_a_run
from dtopipe.intake.newest_values import ValuesOfRing
from dtopipe.model.errors import DtopipeError, NothingFollowed, UsageError
from dtopipe.model.newest import NewestValues
from dtopipe.model.plan import RunPlan
from dtopipe.supervisor.answers import Answers
from dtopipe.supervisor.hearing import Hearing
from dtopipe.supervisor.ports import Snapshots
from dtopipe.supervisor.progress import Phase
from dtopipe.supervisor.run import Run
from dtopipe.wire.commands import Marked, Refused, SetMark
from dtopipe.wire.raw_files import index_path

_TURN_S = 0.05
# While a process is about to end, which no message tells.
_SHORT_TURN_S = 0.005
_MOST_HEARD, _LONGEST_HEARING_NS = 500, 200_000_000
_SAVE_EVERY_NS = 5_000_000_000
# A laptop that slept must not be charged for it: no turn counts as more than this.
_LONGEST_TURN_S = 1.0


class Wishes(Protocol):
    """What is wanted of a run from outside while it goes on."""

    @property
    def stopped_by(self) -> Ending | None:
        """The one that asked first for the end; None while it was not asked for."""

    @property
    def is_hurried(self) -> bool:
        """True once the end is not to wait for slow sinks."""

    def request_stop(self, by: Ending, *, hurry: bool = False) -> None:
        """Ask for the end."""

    def show(self, status: Snapshots) -> None:
        """How the run is after a turn."""


class Supervisor:
    """Runs one plan from start to verdict. `request_stop` may be called from a signal handler or another thread."""

    def __init__(self, plan: RunPlan, on_turn: Callable[[dict[str, Any]], None] | None = None) -> None:
        """`on_turn` gets a status snapshot, some twenty times a second."""
        self._plan = plan
        self._on_turn = on_turn
        self._stops_wanted = 0
        self._stopped_by: Ending | None = None
        self._values: dict[float, ValuesOfRing] = {}
        # What became of commands that were not waited for, in words.
        self.left_undone: list[str] = []

    @property
    def folder(self) -> Path:
        """The run folder, once `run` was called."""
        return self._run.folder.path

    @property
    def was_stopped(self) -> bool:
        """True once somebody asked for the end."""
        return self._stops_wanted > 0

    @property
    def stopped_by(self) -> Ending | None:
        """The one that asked first for the end; None while it was not asked for."""
        return self._stopped_by

    @property
    def is_hurried(self) -> bool:
        """True once it was asked for twice, or in a hurry."""
        return self._stops_wanted > 1

    def show(self, status: Snapshots) -> None:
        """How the run is after a turn."""
        if self._on_turn:
            self._on_turn(status.snapshot())

    def mark(self, asked: SetMark) -> Marked | Refused:
        """Give a moment of the run a name; only between two turns, as in `on_turn`."""
        return self._run.notes.marking.set(asked)

    def newest_values(self, of_last_s: float) -> NewestValues | None:
        """What the board says now, in units; None before its first block. Only between two turns, as in `on_turn`.

        `of_last_s`: whose lowest and highest values; with 0 those of the newest block, little work at any rate.
        """
        memory = self._run.memory
        if of_last_s not in self._values and memory.stream is not None and memory.ring is not None:
            self._values[of_last_s] = ValuesOfRing(memory.stream, memory.ring, of_last_s=of_last_s)
        values = self._values.get(of_last_s)
        return None if values is None else values.newest()

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
        ensure_open_files(of_a_run(len(self._plan.sinks) + bool(self._plan.limits)))
        self._run = run = Run(self._plan)
        loop = RunLoop(run, self)
        keep_folder, is_concluded = True, False
        try:
            run.sleep_watch.begin()
            run.launcher.start_everybody()
            while run.progress.phase is not Phase.FINISHED:
                loop.turn()
            if run.acquirer.waits_for_others and run.memory.stream is None:
                keep_folder = False
                why = run.acquirer.away or f"there was no run at {self._plan.board.options.get('endpoint')}"
                raise NothingFollowed(f"{why}, until the end: nothing is recorded")
            loop.conclude()
            is_concluded = True
            return run.record.facts()
        except DtopipeError:
            keep_folder = keep_folder and run.progress.phase is not Phase.OPENING
            raise
        except Exception:
            # Nobody may see what a run in the background says at its end.
            logging.getLogger("dtopipe.supervisor").exception("the supervisor failed")
            raise
        finally:
            run.disks.close()
            run.clear(keep_folder=keep_folder)
            if is_concluded:
                stops = self._stops_wanted
                self.left_undone = run.conclude_commands(is_cut_short=lambda: self._stops_wanted > stops)


class RunLoop:
    """One run, turn by turn. Nothing in a turn waits for anybody."""

    def __init__(self, run: Run, wishes: Wishes) -> None:
        self._run = run
        self._wishes = wishes
        answers = Answers(
            run.folder.path,
            run.status,
            run.restart_requests,
            run.attachments,
            run.subscriptions,
            run.notes,
            request_stop=wishes.request_stop,
        )
        self._hearing = Hearing(
            run.progress, run.memory, run.acquirer, run.sinks, run.gateway, run.launcher, run.attachments,
            run.limits, answers, run.gaps, run.clock, run.server, run.events, run.server.malformed,
        )  # fmt: skip
        self._turned_ns = self._saved_ns = mono_ns()

    def turn(self) -> None:
        """Hear what was said, look at everything, go on. Raises TopologyError before the run has begun."""
        run = self._run
        self._hear()
        now_ns = mono_ns()
        elapsed_s = min((now_ns - self._turned_ns) / 1e9, _LONGEST_TURN_S)
        self._turned_ns = now_ns
        self._follow_wishes()
        run.look(now_ns, elapsed_s)
        if run.board_watch.look(elapsed_s):
            run.drain.abort(run.board_watch.over_time, BY_OVERTIME)
        if run.progress.phase is Phase.OPENING:
            run.launcher.go_on()
        elif run.progress.phase is Phase.DRAINING:
            run.drain.go_on(now_ns, elapsed_s)
        if now_ns - self._saved_ns > _SAVE_EVERY_NS:
            self._saved_ns = now_ns
            run.record.save()
        self._wishes.show(run.status)

    def conclude(self) -> None:
        """The accounting identity, the verdict, and the record of it all. Raises UsageError."""
        run, progress = self._run, self._run.progress
        run.disks.make_room()
        verdict = run.judging.verdict()
        progress.finished(verdict)
        ended_by = progress.ended_by.by.value if progress.ended_by else ""
        run.events.append("finished", verdict=verdict.state.value, text=verdict.text, ended_by=ended_by)
        self._save_at_last()
        journal = run.sinks.journal
        if journal is not None and journal.path is not None:
            # A cache for those who read along: nobody does any more.
            with contextlib.suppress(OSError):
                index_path(journal.path).unlink(missing_ok=True)

    def _hear(self) -> None:
        wait_s = _SHORT_TURN_S if self._run.drain.awaits_exits else _TURN_S
        # Whoever says too much must not keep the supervisor from its work.
        for received in incoming(self._run.server.receive, wait_s, _MOST_HEARD, _LONGEST_HEARING_NS, mono_ns):
            self._hearing.hear(*received)

    def _follow_wishes(self) -> None:
        run, by = self._run, self._wishes.stopped_by
        if by is not None and run.progress.phase in (Phase.OPENING, Phase.RUNNING):
            run.drain.begin(by)
        if self._wishes.is_hurried and not run.progress.is_hurried:
            run.drain.hurry()

    def _save_at_last(self) -> None:
        """The verdict has to be on disk: a full one is waited for as long as a sink is. Raises UsageError."""
        run = self._run
        deadline = time.monotonic() + run.plan.drain_limit_s
        while not run.record.save():
            if time.monotonic() >= deadline:
                path = run.folder.record_path
                raise UsageError(
                    f"{path} has no room on its disk", f"free some space, then: dtopipe repair {path.parent}"
                )
            time.sleep(_TURN_S)
