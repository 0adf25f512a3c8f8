"""One run: its folder, its place among the user's runs, and the parts that its supervisor consists of.

The parts know each other only as their constructors say, and none of them knows the whole.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dtopipe.host.awake import Awake
from dtopipe.host.clock import RunTimes
from dtopipe.host.log_lines import LogLines
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.plan import RunPlan
from dtopipe.model.span import Cause
from dtopipe.shm.layout import Head
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.attachments import Attachments
from dtopipe.supervisor.board_watch import BoardWatch
from dtopipe.supervisor.clock_watch import ClockWatch
from dtopipe.supervisor.course import CourseWatch
from dtopipe.supervisor.disks import Disks
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.gateway_agent import GatewayAgent
from dtopipe.supervisor.goal import Goal
from dtopipe.supervisor.hanging import Hanging
from dtopipe.supervisor.instruments import Instruments
from dtopipe.supervisor.judging import Judging
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.limiting import Limiting
from dtopipe.supervisor.limits import Limits
from dtopipe.supervisor.limits_agent import LimitsAgent
from dtopipe.supervisor.lines import ClockFile, EventsFile, GapsFile
from dtopipe.supervisor.marking import Marking
from dtopipe.supervisor.metadata import Metadata
from dtopipe.supervisor.moments import Moments
from dtopipe.supervisor.notes import Notes
from dtopipe.supervisor.on_events import OVERRUN, OnEvents
from dtopipe.supervisor.placement import Placement
from dtopipe.supervisor.presence import FileIdentity
from dtopipe.supervisor.processes import ProcessStarter
from dtopipe.supervisor.progress import Progress
from dtopipe.supervisor.restart_requests import RestartRequests
from dtopipe.supervisor.retention import Retention
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.supervisor.sleep_watch import SleepWatch
from dtopipe.supervisor.starts import Starts
from dtopipe.supervisor.status import StatusBoard
from dtopipe.supervisor.subscriptions import Subscriptions
from dtopipe.supervisor.watch import Watch
from dtopipe.transport.link import run_keys

_OVERRUNS = (Cause.BOARD_OVERRUN, Cause.ACQUIRER_RESTART)


class Run:
    """All parts of one run, from its creation to its removal."""

    def __init__(self, plan: RunPlan) -> None:
        """Raises UsageError, DtopipeError where it cannot have a folder or be spoken with."""
        self.plan = plan
        self.progress = progress = Progress(str(uuid.uuid4()), RunTimes())
        self.memory = memory = RunMemory()
        self._keys = run_keys()
        self.presence = FileIdentity(self._keys)
        try:
            self.folder = folder = self._begun_folder()
        except BaseException:
            self.presence.end()
            raise
        self.server = post = self.presence.server
        self._log = _open_log(folder.log_path("supervisor"))
        self.events = events = EventsFile(folder.path / "events.jsonl", progress.times.utc_ns)
        self.on_events = OnEvents(plan, progress, folder, events)
        events.heard_by(self.on_events.heard)
        self.gaps = GapsFile(folder.path / "gaps.jsonl")
        self.clock = ClockFile(folder.path / "clock.jsonl")
        starter = ProcessStarter(folder, events, self._common_orders)
        self.acquirer = acquirer = AcquirerAgent(plan)
        watcher = LimitsAgent(plan, folder.path) if plan.limits else None
        self.sinks = sinks = Sinks((SinkAgent(sink, folder.path) for sink in plan.sinks), watcher)
        self.limits = Limits(plan, progress, memory, watcher, events)
        goal = self.goal = Goal(plan, memory, acquirer)
        self.gateway = GatewayAgent(plan, progress, memory, sinks, starter, post, events, self.gaps)
        self.board_watch = BoardWatch(plan, progress, memory, acquirer, goal, events)
        self.clock_watch = ClockWatch(progress, memory, acquirer, self.clock.fit, events)
        self.drain = Drain(plan, progress, memory, acquirer, sinks, self.gateway, goal, post, events)
        self.disks = Disks(plan, folder.path, progress, memory, sinks, self.drain, events)
        self.limiting = Limiting(progress, memory, acquirer, sinks, self.board_watch)
        self.course = CourseWatch(progress, memory, sinks)
        self.record = RunRecord(
            plan, folder, self.presence, progress, memory, acquirer, sinks, goal, self.clock, self.board_watch,
            self.clock_watch, self.disks, self.limits, self.limiting, self.course,
        )  # fmt: skip
        starts = Starts(memory, sinks)
        placement = Placement(memory, sinks, starts, self.record, events)
        self.launcher = Launcher(
            plan, progress, memory, acquirer, sinks, self.gateway, self.clock_watch, self.record, placement, starter,
            post, events,
        )  # fmt: skip
        self.watch = Watch(
            plan, progress, memory, acquirer, sinks, self.launcher, self.drain, events, folder.last_log_lines
        )
        self.hanging = Hanging(memory, acquirer, sinks, events)
        self.restart_requests = RestartRequests(progress, sinks, self.launcher, post, events)
        self.retention = Retention(memory, sinks, self.gateway)
        self.attachments = Attachments(
            folder.path,
            progress,
            memory,
            sinks,
            starts,
            placement,
            self.launcher,
            self.drain,
            self.record,
            post,
            events,
        )
        self.subscriptions = Subscriptions(
            plan.name, folder.path, progress, memory, sinks, starts, self.launcher, self.presence.life, events
        )
        moments = Moments(progress, memory, acquirer, goal)
        self.notes = Notes(
            memory,
            moments,
            Marking(progress, moments, events),
            Instruments(memory, moments, folder.path),
            Metadata(progress, self.record, events),
        )
        self.sleep_watch = SleepWatch(Awake(f"dtopipe records the run {plan.name}"), events)
        self.judging = Judging(progress, memory, acquirer, sinks, goal, self.record, self.limits, self.gaps)
        self.status = StatusBoard(
            plan, folder.path, progress, memory, acquirer, sinks, self.gateway, self.board_watch, self.disks,
            self.retention, self.subscriptions, self.notes, self.limits, self.on_events, self.record,
            self.server.malformed, self.limiting,
        )  # fmt: skip
        self._board_gaps_seen = self._pairs_seen = 0
        self.record.register()

    def look(self, now_ns: int, elapsed_s: float) -> None:
        """One turn of every part that watches. Raises TopologyError before the run has begun."""
        self.hanging.look(elapsed_s)
        self.restart_requests.look(now_ns)
        self.attachments.look(now_ns, elapsed_s)
        self.subscriptions.look()
        self.watch.look(now_ns)
        self.gateway.look(now_ns)
        self.retention.look()
        self.disks.look(now_ns)
        self.presence.look(now_ns)
        self.gather()
        self.notes.look(now_ns)
        self.sleep_watch.look()
        self.clock_watch.look(now_ns)
        self.on_events.look()
        self.limiting.look(now_ns)
        self.course.look(now_ns)

    def clear(self, *, keep_folder: bool) -> None:
        """Nothing outlives the run: processes, shared memory, sockets, the runtime entry."""
        for process in (self.acquirer.process, *(agent.process for agent in self.sinks.workers)):
            if process:
                process.kill()
        self.gateway.kill()
        self.sleep_watch.end()
        self.server.close()
        self.memory.close()
        for file in (self.events, self.gaps, self.clock, self.notes.instruments):
            file.close()
        logging.getLogger("dtopipe.supervisor").removeHandler(self._log)
        # What a full disk still refuses of the log must not keep the rest from being cleared.
        with contextlib.suppress(OSError):
            self._log.close()
        self.presence.release_folder(is_concluded=self.record.is_concluded)
        if not keep_folder:
            self.folder.remove()
        self.presence.end()

    def conclude_commands(self, *, is_cut_short: Callable[[], bool]) -> list[str]:
        """Once the run is cleared, so that a command may do with its folder what it likes; what is left undone."""
        if not self.plan.on:
            return []
        try:
            events = EventsFile(self.folder.path / "events.jsonl", self.progress.times.utc_ns)
        except OSError:
            return self.on_events.conclude(None, is_cut_short=is_cut_short)
        with contextlib.closing(events):
            return self.on_events.conclude(events, is_cut_short=is_cut_short)

    def gather(self) -> None:
        """Write down what the ring tells: the board's gaps, the clock's pairs."""
        ring = self.memory.ring
        if ring is None:
            return
        count = ring.words[Head.GAPS]
        if count > self._board_gaps_seen:
            fresh = self.gaps.append(None, ring.board_gaps(self._board_gaps_seen))
            self._board_gaps_seen = count
            if overruns := [gap for gap in fresh if gap.cause in _OVERRUNS]:
                samples = sum(map(len, overruns))
                self.events.append(OVERRUN, "acquirer", samples=samples, sample_index=overruns[0].span.start)
        pairs, pair = ring.clock_pair()
        if pairs > self._pairs_seen:
            self.clock.append(pair)
            self.clock_watch.saw(pair)
            self._pairs_seen = pairs

    def _common_orders(self) -> dict[str, Any]:
        """What every process of the run must know."""
        return {
            "entry": str(self.presence.entry.folder),
            "run_folder": str(self.folder.path.absolute()),
            "control": self.server.endpoint,
            "public_key": self._keys.public,
            "secret_key": self._keys.secret,
            "drain_limit_s": self.plan.drain_limit_s,
        }

    def _begun_folder(self) -> RunFolder:
        folder = RunFolder.create(self.plan.run_root, self.plan.name, self.progress.started)
        try:
            self.presence.take(folder, self.progress.run_id)
            self.presence.serve()
        except BaseException:
            folder.remove()
            raise
        return folder


def _open_log(path: Path) -> logging.Handler:
    """The supervisor's own log, times in UTC."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(LogLines())
    log = logging.getLogger("dtopipe.supervisor")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    return handler
