"""The record of one run, kept up to date on disk: `run.json`, `topology.yaml`, and where others find the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dtopipe.core.metadata_changes import MetadataChanges
from dtopipe.core.remark import Remark
from dtopipe.core.signals import signal_remarks
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.facts import finite
from dtopipe.model.plan import RunPlan
from dtopipe.model.stream import Stream
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.board_watch import BoardWatch
from dtopipe.supervisor.clock_watch import ClockWatch
from dtopipe.supervisor.course import CourseWatch
from dtopipe.supervisor.disks import Disks
from dtopipe.supervisor.goal import Goal
from dtopipe.supervisor.limiting import Limiting
from dtopipe.supervisor.limits import Limits
from dtopipe.supervisor.lines import ClockFile, link_facts
from dtopipe.supervisor.ports import Whereabouts
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.record import (
    acquired,
    channel_facts,
    clock_facts,
    host,
    signals,
    sink_facts,
    verdict_facts,
    versions,
)
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.describe import describe_stream

_log = logging.getLogger("dtopipe.supervisor")


class RunRecord:
    """Written at once when somebody must find it there after a power cut, and now and then."""

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        whereabouts: Whereabouts,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        sinks: Sinks,
        goal: Goal,
        clock: ClockFile,
        board_watch: BoardWatch,
        clock_watch: ClockWatch,
        disks: Disks,
        limits: Limits,
        limiting: Limiting,
        course: CourseWatch,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._whereabouts = whereabouts
        self._own_id = progress.run_id
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._goal = goal
        self._clock = clock
        self._board_watch = board_watch
        self._clock_watch = clock_watch
        self._disks = disks
        self._limits = limits
        self._limiting = limiting
        self._course = course
        # The topology as it runs: with what was attached.
        self._document: Mapping[str, Any] = plan.document
        # As it is by now, with what was changed of it.
        self.metadata = MetadataChanges(dict(plan.metadata))
        # The verdict is in the run folder.
        self.is_concluded = False

    def register(self) -> None:
        """The record is written for the first time. Raises OSError."""
        self.tell_where()
        self._folder.write_topology(self._document)
        self.save()

    def tell_where(self) -> None:
        """Others find the run, its supervisor and its memory by this."""
        self._whereabouts.tell(
            # Its own: a run that follows another one has that one's id in its record.
            run_id=self._own_id,
            name=self._plan.name,
            run_folder=str(self._folder.path.absolute()),
            started_at=self._progress.started.isoformat(),
            **self._memory.facts(),
        )

    def become_latest(self) -> None:
        """It is what `latest` names from now on."""
        self._folder.become_latest()

    def add_sink(self, name: str, fragment: Any) -> None:
        """A sink was attached; `fragment`: what a topology says of it."""
        self._change_sinks({**self._document.get("sinks", {}), name: fragment})

    def drop_sink(self, name: str) -> None:
        """A sink that was attached did not begin."""
        self._change_sinks({key: sink for key, sink in self._document["sinks"].items() if key != name})

    def save_all(self) -> None:
        """Write `run.json` and `topology.yaml` as things stand, or say in the log why not."""
        self.save()
        try:
            self._folder.write_topology(self._document)
        except OSError as error:
            _log.warning("topology.yaml: %s", error)

    def save(self) -> bool:
        """Write `run.json` as things stand; False if the disk refuses, so that it is to be tried again."""
        try:
            self._folder.write_record(self.facts())
        except OSError as error:
            _log.warning("run.json: %s", error)
            return False
        self.is_concluded = self._progress.verdict is not None
        return True

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What board, clocks and signals did that no gap shows, and what an output is not that was promised."""
        stream = self._memory.stream
        dead = signal_remarks(signals(self._memory.ring, stream), stream.rate_hz) if stream else ()
        of_sinks = [Remark(f"{agent.plan.name}: {agent.remark}") for agent in self._sinks if agent.remark]
        return (*self._board_watch.remarks(), *self._clock_watch.remarks(), *dead, *of_sinks)

    def facts(self) -> dict[str, Any]:
        """The run record as things stand."""
        progress, stream, ring = self._progress, self._memory.stream, self._memory.ring
        counts = acquired(ring)
        final_end = counts["end_sample_index"] if progress.phase is Phase.FINISHED else None
        return {
            "run_id": progress.run_id,
            "name": self._plan.name,
            "versions": versions(),
            "host": host(),
            "started_at": progress.started.isoformat(),
            "finished_at": progress.finished_at,
            "metadata": dict(self.metadata.values),
            **({"metadata_changes": list(self.metadata.changes)} if self.metadata.changes else {}),
            "simulated": stream is not None and stream.simulated,
            "topology": dict(self._document),
            "stream": describe_stream(self._noted(stream)) if stream else None,
            "clock": {
                **clock_facts(stream, self._clock.fit, clocked=self._acquirer.is_clocked),
                **self._link_clock(),
                **self._clock_watch.facts(),
            },
            "acquired": counts,
            "channels": channel_facts(ring, stream.channels if stream else ()),
            "sinks": {agent.plan.name: sink_facts(agent, final_end) for agent in self._sinks if agent.is_placed},
            "disks": self._disks.facts,
            **({"limits": limits} if (limits := self._limits.facts()) else {}),
            "limited": self._limiting.facts(),
            **({"progress": course} if (course := self._course.facts()) else {}),
            **({"insecure": True} if self._plan.insecure else {}),
            **({"source": followed.facts()} if (followed := self._goal.followed) else {}),
            **({"ended_early": progress.ended_early} if progress.ended_early else {}),
            **({"ended_by": progress.ended_by.facts()} if progress.ended_by else {}),
            **({"remarks": [remark.facts() for remark in remarks]} if (remarks := self.remarks) else {}),
            "verdict": verdict_facts(progress.verdict),
        }

    def _noted(self, stream: Stream) -> Stream:
        """The stream with the metadata as they are by now."""
        if not self.metadata.changes:
            return stream
        return replace(stream, metadata=finite({**stream.metadata, **self.metadata.values}))

    def _link_clock(self) -> dict[str, Any]:
        """How the clocks of the machine that the samples come from were, by the best of all answers."""
        best = self._acquirer.link_pair
        return {} if best is None else {"link": link_facts(best)}

    def _change_sinks(self, sinks: Mapping[str, Any]) -> None:
        self._document = {**self._document, "sinks": sinks}
        self.save_all()
