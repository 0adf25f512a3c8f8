"""The state of one run that the supervisor's parts share."""

from __future__ import annotations

import contextlib
import logging
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from dtopipe.core.ending import Ending, end_of_duration
from dtopipe.core.followed import Followed
from dtopipe.core.remark import Remark
from dtopipe.core.verdict import Verdict
from dtopipe.host.clock import RunTimes, mono_ns
from dtopipe.host.log_lines import LogLines
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import Problem, TopologyError
from dtopipe.model.plan import RunPlan
from dtopipe.model.policy import Policy
from dtopipe.model.stream import Stream
from dtopipe.shm.layout import Head, Stage
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.table import SubscriberTable
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.board_watch import BoardWatch
from dtopipe.supervisor.clock_watch import ClockWatch
from dtopipe.supervisor.gateway import Gateway
from dtopipe.supervisor.lines import ClockFile, EventsFile, GapsFile, link_facts
from dtopipe.supervisor.presence import FileIdentity
from dtopipe.supervisor.record import acquired, channel_facts, clock_facts, host, sink_facts, verdict_facts, versions
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.subscriber import Subscriber
from dtopipe.transport.link import run_keys
from dtopipe.wire.describe import describe_stream
from dtopipe.wire.messages import ToAcquirer, ToSink


class Phase(StrEnum):
    """How far the run is."""

    OPENING = "opening"
    RUNNING = "running"
    DRAINING = "draining"
    FINISHED = "finished"


class Run:
    """Folder, runtime entry, ring, agents and records of one run, from its creation to its removal."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        # As it runs: with what was attached.
        self.document = plan.document
        self.run_id = self._own_id = str(uuid.uuid4())
        self.times = RunTimes()
        self.started = datetime.fromtimestamp(self.times.utc_ns() / 1e9, UTC)
        self.started_ns = mono_ns()
        self.finished_at: str | None = None
        self.phase = Phase.OPENING
        self.hurried = False
        # There is room on its disk that only the journal will be given.
        self.room_kept = False
        self.aborted = ""
        # Why the run ended before somebody wanted it to, though nothing was wrong with it.
        self.ended_early = ""
        # By whom or what it was ended; None while it goes on.
        self.ended_by: Ending | None = None
        self.disks: list[dict[str, Any]] = []
        self.verdict: Verdict | None = None
        # The verdict is in the run folder.
        self._is_concluded = False
        self.stream: Stream | None = None
        self.ring: Ring | None = None
        self.table: SubscriberTable | None = None
        self.segment = new_name()
        self.keys = run_keys()
        self.presence = FileIdentity(self.keys)
        try:
            self.folder = self._begun_folder()
        except BaseException:
            self.presence.end()
            raise
        self.server = self.presence.server
        self._log = _open_log(self.folder.log_path("supervisor"))
        self.events = EventsFile(self.folder.path / "events.jsonl", self.times.utc_ns)
        self.gaps = GapsFile(self.folder.path / "gaps.jsonl")
        self.clock = ClockFile(self.folder.path / "clock.jsonl")
        self.acquirer = AcquirerAgent(plan)
        self.sinks = {sink.name: SinkAgent(sink, self.folder.path) for sink in plan.sinks}
        self.journal = next((agent for agent in self.sinks.values() if agent.plan.is_journal), None)
        # Programs that follow the run, by their keys; they are no part of its record.
        self.subscribers: dict[str, Subscriber] = {}
        self.gateway = Gateway(self)
        self.board_watch = BoardWatch(self)
        self.clock_watch = ClockWatch(self)
        self._board_gaps_seen = 0
        self._pairs_seen = 0
        self._register()

    @property
    def has_begun(self) -> bool:
        """True once the board was told to start."""
        return self.acquirer.started_ns is not None

    @property
    def has_ended(self) -> bool:
        """True once no more blocks come."""
        return self.ring is not None and self.ring.status().stage is Stage.ENDED

    @property
    def end_sample_index(self) -> int:
        """Where the run has got to; 0 before there is a ring."""
        return self.ring.end()[0] if self.ring else 0

    @property
    def followed(self) -> Followed | None:
        """What is known of the run that this one follows; None if the samples are of a board of our own."""
        if not self.acquirer.waits_for_others:
            return None
        return Followed(
            endpoint=str(self.plan.board.options.get("endpoint", "")),
            source_end=self.ring.source_end() if self.ring else None,
            asked_end=self.asked_end,
            away_since=self.acquirer.away_since,
        )

    @property
    def asked_end(self) -> int | None:
        """Where it is to end by its duration; None without one, or while the board's rate is not known."""
        if self.stream is None:
            return None
        return end_of_duration(self.stream.rate_hz, self.plan.duration_s, self.acquirer.first_sample_index)

    def clock_now(self) -> str:
        """The time of now, ISO 8601, as the run has it."""
        return f"{iso_utc(self.times.utc_ns())[:19]}Z"

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What the board and the clocks did that no output shows, and what an output is not that was promised."""
        of_sinks = [Remark(f"{name}: {agent.remark}") for name, agent in self.sinks.items() if agent.remark]
        return (*self.board_watch.remarks(), *self.clock_watch.remarks(), *of_sinks)

    def covers(self, policy: Policy) -> bool:
        """True if who reads under this policy finds in a journal what the ring has no more."""
        return self.journal is not None and policy is Policy.BLOCK

    def common_orders(self) -> dict[str, Any]:
        """What every process of the run must know."""
        return {
            "entry": str(self.presence.entry.folder),
            "run_folder": str(self.folder.path.absolute()),
            "control": self.server.endpoint,
            "public_key": self.keys.public,
            "secret_key": self.keys.secret,
            "drain_limit_s": self.plan.drain_limit_s,
        }

    def tell_acquirer(self, message: ToAcquirer) -> None:
        """Send to the acquirer's present process."""
        self.server.send(self.acquirer.address.encode(), message)

    def tell_sink(self, agent: SinkAgent, message: ToSink) -> None:
        """Send to a sink's present process."""
        self.server.send(agent.address.encode(), message)

    def close_row(self, agent: SinkAgent) -> None:
        """The sink holds no slot any more."""
        if self.table and agent.row is not None:
            row = agent.look(self.table)
            agent.left_at = row.released if row else 0
            self.table.close(agent.row)
            agent.row = None

    def refusal(self, key: str, message: str, remedy: str = "") -> TopologyError:
        """The error for a run that cannot start, at the place of `key` in the topology or of what is around it."""
        parts = key.split(".")
        places = (self.plan.places.get(".".join(parts[:n])) for n in range(len(parts), 0, -1))
        return TopologyError([Problem(next(filter(None, places), None), key, message, remedy)])

    def gather(self) -> None:
        """Write down what the ring tells: the board's gaps, the clock's pairs."""
        if self.ring is None:
            return
        count = self.ring.words[Head.GAPS]
        if count > self._board_gaps_seen:
            self.gaps.append(None, self.ring.board_gaps(self._board_gaps_seen))
            self._board_gaps_seen = count
        pairs, pair = self.ring.clock_pair()
        if pairs > self._pairs_seen:
            self.clock.append(pair)
            self.clock_watch.saw(pair)
            self._pairs_seen = pairs

    def save(self) -> bool:
        """Write `run.json` as things stand; False if the disk refuses, so that it is to be tried again."""
        try:
            self.folder.write_record(self.record())
        except OSError as error:
            logging.getLogger("dtopipe.supervisor").warning("run.json: %s", error)
            return False
        self._is_concluded = self.verdict is not None
        return True

    def record(self) -> dict[str, Any]:
        """The run record as things stand."""
        counts = acquired(self.ring)
        final_end = counts["end_sample_index"] if self.phase is Phase.FINISHED else None
        return {
            "run_id": self.run_id,
            "name": self.plan.name,
            "versions": versions(),
            "host": host(),
            "started_at": self.started.isoformat(),
            "finished_at": self.finished_at,
            "metadata": dict(self.plan.metadata),
            "simulated": self.stream is not None and self.stream.simulated,
            "topology": dict(self.document),
            "stream": describe_stream(self.stream) if self.stream else None,
            "clock": {
                **clock_facts(self.stream, self.clock.fit, clocked=self.acquirer.is_clocked),
                **self._link_clock(),
                **self.clock_watch.facts(),
            },
            "acquired": counts,
            "channels": channel_facts(self.ring, self.stream.channels if self.stream else ()),
            "sinks": {name: sink_facts(agent, final_end) for name, agent in self.sinks.items() if agent.is_placed},
            "disks": self.disks,
            **({"insecure": True} if self.plan.insecure else {}),
            **({"source": followed.facts()} if (followed := self.followed) else {}),
            **({"ended_early": self.ended_early} if self.ended_early else {}),
            **({"ended_by": self.ended_by.facts()} if self.ended_by else {}),
            **({"remarks": [remark.facts() for remark in remarks]} if (remarks := self.remarks) else {}),
            "verdict": verdict_facts(self.verdict),
        }

    def _link_clock(self) -> dict[str, Any]:
        """How the clocks of the machine that the samples come from were, by the best of all answers."""
        best = self.acquirer.link_pair
        return {} if best is None else {"link": link_facts(best)}

    def clear(self, *, keep_folder: bool) -> None:
        """Nothing outlives the run: processes, shared memory, sockets, the runtime entry."""
        for process in (self.acquirer.process, *(agent.process for agent in self.sinks.values())):
            if process:
                process.kill()
        self.gateway.kill()
        self.server.close()
        if self.ring:
            self.ring.close()
        unlink(self.segment)
        for file in (self.events, self.gaps, self.clock):
            file.close()
        logging.getLogger("dtopipe.supervisor").removeHandler(self._log)
        # What a full disk still refuses of the log must not keep the rest from being cleared.
        with contextlib.suppress(OSError):
            self._log.close()
        self.presence.release_folder(is_concluded=self._is_concluded)
        if not keep_folder:
            self.folder.remove()
        self.presence.end()

    def memory(self) -> dict[str, str]:
        """Where the ring is: by its name, and by the process that holds it while nobody knows that name any more."""
        return {"segment": self.segment, "held": self.ring.segment.held if self.ring else ""}

    def tell_where(self) -> None:
        """Others find the run, its supervisor and its memory by this."""
        self.presence.tell(
            # Its own: a run that follows another one has that one's id in its record.
            run_id=self._own_id,
            name=self.plan.name,
            run_folder=str(self.folder.path.absolute()),
            started_at=self.started.isoformat(),
            **self.memory(),
        )

    def _begun_folder(self) -> RunFolder:
        folder = RunFolder.create(self.plan.run_root, self.plan.name, self.started)
        try:
            self.presence.take(folder, self.run_id)
            self.presence.serve()
        except BaseException:
            folder.remove()
            raise
        return folder

    def _register(self) -> None:
        self.tell_where()
        self.folder.write_topology(self.document)
        self.save()


def _open_log(path: Path) -> logging.Handler:
    """The supervisor's own log, times in UTC."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(LogLines())
    log = logging.getLogger("dtopipe.supervisor")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    return handler
