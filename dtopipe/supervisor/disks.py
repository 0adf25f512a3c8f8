"""Watching the disks of a run: told of in time, and an orderly end while what that takes still fits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dtopipe.core.disk import (
    RECORDS_BYTES,
    DiskOutlook,
    DiskSeen,
    DiskWatch,
    OutputNeed,
    bytes_text,
    reserve_bytes,
)
from dtopipe.model.plan import RunPlan
from dtopipe.model.span import Span
from dtopipe.sinks.registry import known_sink_type
from dtopipe.supervisor.disk_probe import DiskProbe, FolderSeen
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.record import acquired
from dtopipe.supervisor.reserved_space import ReservedSpace
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.topology.cost import sink_costs

# A look that is older tells nothing of now: its share does not answer.
_SILENT_AFTER_NS = 5_000_000_000
# Longer than most of what others do at once; and never so long that the ring fills meanwhile.
_LONGEST_PATIENCE_S = 2.0
# From then on what an output's samples really take is known well enough.
_SAMPLES_THAT_TELL = 1000
_BYTES_A_VALUE = 8


class Disks:
    """Groups the folders of a run by file system, and judges each; once a turn, acting only while the run goes on."""

    def __init__(
        self,
        plan: RunPlan,
        folder: Path,
        progress: Progress,
        memory: RunMemory,
        sinks: Sinks,
        drain: Drain,
        events: Events,
    ) -> None:
        """`folder`: the run's."""
        self._plan = plan
        self._folder = folder
        self._progress = progress
        self._memory = memory
        self._sinks = sinks
        self._drain = drain
        self._events = events
        # For `status` and the run record.
        self.facts: list[dict[str, Any]] = []
        # The outputs in each folder, and who looks at it.
        self._folders: dict[Path, dict[str, Path]] = {}
        self._probes: dict[Path, DiskProbe] = {}
        self._watches: dict[int, DiskWatch] = {}
        self._outlooks: dict[int, tuple[int, DiskOutlook]] = {}
        self._silent: set[Path] = set()
        self._estimates: dict[str, float] = {}
        self._for_records: ReservedSpace | None = None
        self._for_journal: ReservedSpace | None = None

    def look(self, now_ns: int) -> None:
        """One turn."""
        if self._memory.ring is None:
            return
        # From then on, not only from the first sample: what was free before tells who took it.
        self._follow_sinks()
        self._keep_room()
        self._help_the_journal()
        disks: dict[int, list[tuple[Path, FolderSeen]]] = defaultdict(list)
        for folder, probe in self._probes.items():
            seen = probe.seen
            self._tell_silence(folder, is_silent=seen is not None and now_ns - seen.t_ns > _SILENT_AFTER_NS)
            if seen is not None and folder not in self._silent:
                disks[seen.device].append((folder, seen))
        for device, folders in disks.items():
            self._look_at(device, folders)
        self.facts = [self._facts(device, folders) for device, folders in disks.items() if device in self._outlooks]

    def room_for_journal_s(self) -> float | None:
        """How long its disk has room for the journal, beyond what an orderly end takes; None where nobody knows.

        At the journal's own rate, whatever it deletes meanwhile, or at that at which the disk fills, if that is faster.
        """
        journal, stream = self._sinks.journal, self._memory.stream
        if journal is None or journal.path is None or journal.state.is_final or stream is None:
            return None
        probe = self._probes.get(journal.path.parent)
        seen = None if probe is None else probe.seen
        if seen is None or seen.device not in self._outlooks:
            return None
        outlook = self._outlooks[seen.device][1]
        n_bytes = seen.outputs[journal.plan.name].n_bytes if journal.plan.name in seen.outputs else 0
        # Of the first seconds the disk's own rate tells more about file headers than about data.
        of_disk = 0.0 if outlook.full_in_s is None else outlook.rate_bytes_per_s
        rate = max(self._bytes_a_sample(journal, n_bytes) * stream.rate_hz, of_disk)
        return max(0, outlook.free_bytes - outlook.reserve_bytes) / rate if rate > 0 else None

    def make_room(self) -> None:
        """It makes room for the last records, when every sink has ended."""
        for room in filter(None, (self._for_journal, self._for_records)):
            room.give_back()

    def close(self) -> None:
        """Look no more."""
        self.make_room()
        for probe in self._probes.values():
            probe.stop()

    def _keep_room(self) -> None:
        """Once: for the run's records, and for what the journal has still to take when its disk is full."""
        ring = self._memory.ring
        if self._for_records is not None or ring is None:
            return
        run_id = self._progress.run_id
        self._for_records = ReservedSpace(self._folder, RECORDS_BYTES, run_id)
        journal = self._sinks.journal
        if journal is not None and journal.path is not None:
            held = ring.layout.n_slots * ring.layout.slot_bytes + RECORDS_BYTES
            self._for_journal = ReservedSpace(journal.path.parent, held, run_id)
            self._progress.is_room_kept = self._for_journal.is_kept

    def _help_the_journal(self) -> None:
        """The journal is helped at the end if its disk is full: no other sink may take the room that it waits for."""
        room, journal, phase = self._for_journal, self._sinks.journal, self._progress.phase
        if room is None or not room.is_kept or journal is None or phase is not Phase.DRAINING or not journal.away:
            return
        rivals = [agent for agent in self._sinks if agent is not journal and agent.away]
        if all(agent.state.is_final for agent in rivals):
            room.give_back()
            self._progress.is_room_kept = False
            self._events.append("room_given", journal.plan.name, folder=str(room.folder))
            self._drain.wait_anew(journal)

    def _follow_sinks(self) -> None:
        """A probe for each folder; sinks come and go."""
        folders: dict[Path, dict[str, Path]] = {self._folder: {}}
        for agent in self._sinks:
            if agent.path is not None:
                folders.setdefault(agent.path.parent, {})[agent.plan.name] = agent.path
        if folders == self._folders:
            return
        if not self._folders:
            self._estimates = self._estimated()
        for folder in [folder for folder in self._probes if folders.get(folder) != self._folders[folder]]:
            self._probes.pop(folder).stop()
        for folder, outputs in folders.items():
            if folder not in self._probes:
                self._probes[folder] = DiskProbe(folder, outputs)
        self._folders = folders

    def _estimated(self) -> dict[str, float]:
        """Bytes that a sample of each sink takes, as `check` has them."""
        stream = self._memory.stream
        if stream is None:
            return {}
        return {cost.name: cost.bytes_per_s / stream.rate_hz for cost in sink_costs(self._plan, stream)}

    def _tell_silence(self, folder: Path, *, is_silent: bool) -> None:
        if is_silent and folder not in self._silent:
            self._silent.add(folder)
            self._events.append("disk_silent", folder=str(folder), why="its file system does not answer")
        elif not is_silent:
            self._silent.discard(folder)

    def _look_at(self, device: int, folders: Sequence[tuple[Path, FolderSeen]]) -> None:
        """Judge one file system, where there is a new measurement."""
        newest = max((seen for _, seen in folders), key=lambda seen: seen.t_ns)
        before_ns = self._outlooks[device][0] if device in self._outlooks else 0
        if newest.t_ns <= before_ns:
            return
        outputs = {name: output for _, seen in folders for name, output in seen.outputs.items()}
        needs = [
            self._need(self._sinks.by_name[name], output.n_bytes, output.waiting_bytes)
            for name, output in outputs.items()
            if name in self._sinks.by_name
        ]
        watch = self._watches.setdefault(device, DiskWatch(self._patience_s()))
        own_bytes = sum(output.n_bytes for output in outputs.values())
        seen = DiskSeen(newest.t_ns, newest.free_bytes, own_bytes, reserve_bytes(needs))
        outlook = watch.saw(seen, self._ends_in_s())
        self._outlooks[device] = newest.t_ns, outlook
        if self._progress.phase is not Phase.RUNNING:
            return
        place = str(folders[0][0])
        if outlook.is_news:
            self._events.append("disk_filling", folder=place, text=f"disk {place} {outlook.text}")
        whose = self._whose(folders)
        if outlook.ends_run and whose:
            self._drain.end_early(
                f"the disk of {whose} is full but for {bytes_text(outlook.free_bytes)} ({place}), "
                f"and an orderly end takes about {bytes_text(outlook.reserve_bytes)}"
            )

    def _whose(self, folders: Sequence[tuple[Path, FolderSeen]]) -> str:
        """The owner of the disk, if a run cannot go on without it: the journal or the run folder; else empty.

        Any other sink waits for room, and its samples are in the journal meanwhile, or in the ring.
        """
        paths = [folder for folder, _ in folders]
        journal = self._sinks.journal
        if journal is not None and journal.path is not None and journal.path.parent in paths:
            return "the journal"
        return "the run folder" if self._folder in paths else ""

    def _need(self, agent: SinkAgent, n_bytes: int, waiting_bytes: int) -> OutputNeed:
        """What the output still takes if the board stops now."""
        ring, stream = self._memory.ring, self._memory.stream
        to_come = 0
        if not agent.state.is_final:
            to_come = self._samples_to_come(agent)
            if ring is not None and stream is not None and ring.status().waiting_for:
                # The ring is full: the board's own buffers are filling.
                task = self._plan.board.task
                to_come += (task.driver_buffers if task else 1) * stream.samples_per_block
        estimate = self._bytes_a_sample(agent, n_bytes)
        closing = known_sink_type(agent.plan.type).closing
        return OutputNeed(closing, to_come, estimate, 0 if agent.state.is_final else waiting_bytes)

    def _bytes_a_sample(self, agent: SinkAgent, n_bytes: int) -> float:
        """What a sample of every channel takes there: as foreseen, or more, once its output tells."""
        stream, samples = self._memory.stream, agent.position.samples
        n_channels = len(stream.channels) if stream else 1
        estimate = self._estimates.get(agent.plan.name, n_channels * _BYTES_A_VALUE)
        return max(estimate, n_bytes / samples) if samples >= _SAMPLES_THAT_TELL else estimate

    def _samples_to_come(self, agent: SinkAgent) -> int:
        """Samples that were acquired and are not committed: of what the board lost nothing is to be written."""
        ring, position = self._memory.ring, agent.position
        if ring is None:
            return 0
        absent = Span(position.committed, max(position.committed, agent.stop(self._memory.end_sample_index)))
        lost = sum(len(gap.span.intersection(absent)) for gap in ring.board_gaps_beyond(absent.start))
        # Of very many gaps the ring's log has only the newest ones.
        return max(0, min(len(absent) - lost, acquired(ring)["samples"] - position.samples))

    def _patience_s(self) -> float:
        ring, stream = self._memory.ring, self._memory.stream
        if ring is None or stream is None:
            return _LONGEST_PATIENCE_S
        ring_s = ring.layout.n_slots * stream.samples_per_block / stream.rate_hz
        return min(_LONGEST_PATIENCE_S, ring_s / 2)

    def _ends_in_s(self) -> float | None:
        stream, duration_s = self._memory.stream, self._plan.duration_s
        if duration_s is None or stream is None:
            return None
        return max(0.0, duration_s - self._memory.end_sample_index / stream.rate_hz)

    def _facts(self, device: int, folders: Sequence[tuple[Path, FolderSeen]]) -> dict[str, Any]:
        """The facts for `status` and the run record."""
        outlook = self._outlooks[device][1]
        return {
            "folder": str(folders[0][0]),
            "free_bytes": outlook.free_bytes,
            "reserve_bytes": outlook.reserve_bytes,
            "bytes_per_s": round(outlook.rate_bytes_per_s, 1),
            "full_in_s": None if outlook.full_in_s is None else round(outlook.full_in_s, 1),
            "warning": outlook.text if outlook.is_low else "",
        }
