"""What the readers of append-only files have in common: only what is committed is read, nothing is written.

A file may be shorter than its commit record says, or have zeros in it: after a power cut the record may be younger
than the data, and disks fail. Everything that is whole is read all the same, and what is not is named.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.nulls import NullRange
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import value_places
from dtopipe.model.span import Gap
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.whole_part import Front, OnDamage, further, whole_position
from dtopipe.wire.commit_snapshot import CommitSnapshot, read_whole_part, record_path

REFILL = "refill it from another output: dtopipe repair"


class FileReader(ABC):
    """The committed part of an output; all of a file that has no commit record. Raises SinkError.

    `stream`: what the run recorded, for an output whose own description is lost.
    """

    def __init__(self, path: Path, run_id: str | None = None, stream: Stream | None = None) -> None:
        self.path = path
        self.snapshot, self._damage_of_record = record_of(path, run_id)
        self._stream = self.snapshot.stream if self.snapshot else stream
        with sink_errors(path):
            self.end = self.size()
        if self.snapshot and run_id not in (None, self.snapshot.stream.run_id):
            raise SinkError(
                path, f"it belongs to another run ({self.snapshot.stream.run_id})", "look for this run's own output"
            )
        if self.snapshot and run_id is not None and run_id != _run_id_of(path):
            # What follows is of another run.
            self.end = min(self.end, self.snapshot.data_bytes)
        self.start = self.snapshot.data_origin if self.snapshot else 0
        # A complete file is read whole, whatever its record says.
        self.is_open = self.snapshot is not None and not self.snapshot.closed
        self.stop = min(self.end, self.snapshot.data_bytes) if self.snapshot and self.is_open else self.end
        self.is_cut = self.snapshot is not None and self.end < self.snapshot.data_bytes

    @abstractmethod
    def committed_rows(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """The whole rows up to the last commit, in the order of the file; `on_damage` is told of the other places."""

    @abstractmethod
    def sound_rows(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """The same, and the whole rows behind the last commit: half a row there is no damage."""

    @abstractmethod
    def rows_behind(self) -> Iterator[OutputRows]:
        """The whole rows behind the last commit of a writer that was killed."""

    @abstractmethod
    def front(self) -> Front | None:
        """The part before the first damaged place; None where it could not be gone on with behind that."""

    def sound_batches(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """Every row that is whole, also behind the last commit of a writer that was killed.

        `on_damage` is told of each place that is passed over, and of what is wrong with the commit record.
        """
        yield from self.sound_rows(on_damage)
        for damage in self.damage_of_record():
            on_damage(damage)

    def batches(self) -> Iterator[OutputRows]:
        """The committed rows in the order of the file, up to the first damaged place: there SinkError is raised."""
        yield from self.committed_rows(self.refuse)
        if self.is_cut:
            self.refuse(self.damage_of_record()[-1])

    def size(self) -> int:
        """Bytes of the file that the commit record tells the length of. Raises OSError."""
        return self.path.stat().st_size

    def position(self) -> Position:
        """What the commit record says; without one, or where the file is shorter than that, what is whole of it."""
        if self.snapshot is not None and not self.is_cut:
            return self.snapshot.position
        recorded, gaps = (self.snapshot.position, self.snapshot.gaps) if self.snapshot else (None, ())
        return whole_position(recorded, self.sound_rows(lambda damage: None), gaps)

    def reach(self) -> Position:
        """The position, and what of whole rows follows on it behind the last commit."""
        position = self.position()
        return further(position, self.rows_behind()) if self.is_open and not self.is_cut else position

    def gaps(self) -> Sequence[Gap]:
        """The gaps of the commit record up to the position; none without one."""
        gaps = self.snapshot.gaps if self.snapshot else ()
        if not self.is_cut:
            return gaps
        committed = self.position().committed
        return tuple(gap for gap in gaps if gap.span.stop <= committed)

    def nulls(self) -> Sequence[NullRange]:
        """Where values are null though the board gave a sample, as the commit record says; none without one."""
        return () if self.snapshot is None else self.snapshot.nulls

    def damage_of_record(self) -> list[str]:
        """What is wrong with the commit record, and with the file by what that says; empty if nothing is."""
        found = list(self._damage_of_record)
        snapshot = self.snapshot
        if snapshot is not None and self.is_cut:
            after_a_cut = self.end >= snapshot.durable_bytes
            lacks = "what came after its last sync, as after a power cut" if after_a_cut else "what had been synced"
            found.append(f"it has {self.end:,} of {snapshot.data_bytes:,} committed bytes: it lacks {lacks}")
        return found

    def stream(self) -> Stream:
        """What the commit record says of the run, or what was recorded of it. Raises SinkError without either."""
        if self._stream is None:
            raise SinkError(self.path, "it has no commit record (.dtopipe) beside it", "copy that along with it")
        return self._stream

    def refuse(self, damage: str) -> None:
        """Raise SinkError because of this damage."""
        raise SinkError(self.path, damage, REFILL)

    def reading_places(self, columns: Sequence[str]) -> range | None:
        """Where the values stand among these columns if they are those of readings, else None."""
        if self._stream is not None and not self._stream.polled:
            return None
        return value_places(columns)

    def channels(self) -> Sequence[Channel]:
        """The channels of the stream. Raises SinkError where they are not known."""
        return self.stream().channels


def _run_id_of(path: Path) -> str | None:
    """Which run an output was last written by, as its commit record says."""
    found = record_of(path)[0]
    return None if found is None else found.stream.run_id


def record_of(path: Path, run_id: str | None = None) -> tuple[CommitSnapshot | None, list[str]]:
    """What the commit record beside an output says as far as it is whole, and what is wrong with it.

    With `run_id` that of this run, if others were appended behind it.
    """
    name = record_path(path).name
    with sink_errors(path):
        try:
            found = read_whole_part(path, run_id)
        except WireError as error:
            return None, [f"its commit record {name} is damaged: {error}"]
    if found is None:
        return None, [f"its commit record {name} is not there, or empty"]
    if len(found.gaps) < found.n_gaps:
        return found, [f"{name} has {len(found.gaps)} whole gaps of the {found.n_gaps} that were committed"]
    return found, []
