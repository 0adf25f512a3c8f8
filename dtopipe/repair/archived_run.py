"""A run that has ended as a gateway serves it: from its raw files, with every gap by its cause."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import Anchor, utc_ns
from dtopipe.model.errors import UsageError
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.repair.raw_samples import raw_samples_of
from dtopipe.repair.sources import Refill
from dtopipe.verify.convert import raw_file_of
from dtopipe.verify.gaps import board_gaps, read_gaps
from dtopipe.verify.outputs import outputs_of, raw_output
from dtopipe.wire.describe import stream_from

# As that of a run in progress.
_BATCH_BYTES = 2**19


class ArchivedRun:
    """What its raw files hold, read once. Raises UsageError if there is none, or the run has not ended."""

    retires = False
    has_begun = True

    def __init__(self, folder: RunFolder) -> None:
        record = folder.read_record()
        if record.get("verdict") is None:
            raise UsageError(f"{folder.path} has not ended", "while it goes on it is served by listen: in its topology")
        raw_file_of(folder, "to serve from")
        outputs = outputs_of(folder, record)
        self.stream: Stream = stream_from(record["stream"])
        self._samples = list(raw_samples_of(folder, outputs, self.stream, views=True))
        if not any(source.spans() for source in self._samples):
            raise UsageError(f"no raw file of {folder.path} can be read", f"dtopipe verify {folder.path} says why")
        gaps_path = folder.path / "gaps.jsonl"
        raw = raw_output(outputs)
        of_sources = [gap for source in self._samples for gap in source.gaps()]
        own = [gap for gap in of_sources if gap.cause is not Cause.NOT_TRIGGERED]
        told = read_gaps(gaps_path).get(raw.name, []) if raw is not None else []
        layers = [board_gaps(gaps_path, outputs), own, told]
        self._started_ns = utc_ns(record["started_at"])
        self._refill = Refill(self.stream, True, self._samples, layers, self._t_utc_ns_at)
        self.end: int | None = record["acquired"]["end_sample_index"]
        first = record["acquired"].get("first_sample_index", 0)
        self._oldest: int = max(first, raw.retained_from() if raw is not None else 0)

    def anchor(self) -> Anchor:
        """The anchor of its beginning."""
        anchor = next(filter(None, (source.anchor_near(self._oldest) for source in self._samples)), None)
        return anchor or Anchor(0, 1, self._started_ns)

    def oldest(self, *, drops: bool) -> int:
        """The first sample that is there, or was lost and not retired."""
        return self._oldest

    def newest(self) -> int:
        """Its end."""
        return self.end or 0

    def reader(self, at: int, *, drops: bool) -> ArchiveReader:
        """A reader from this sample on."""
        end = self.newest()
        n_bytes = max(1, len(self.stream.channels) * self.stream.samples_per_block * 2)
        return ArchiveReader(self._refill.items(Span(at, end)) if at < end else iter(()), _BATCH_BYTES // n_bytes)

    def _t_utc_ns_at(self, index: int) -> int:
        clock = self.stream.clock
        anchor = next(filter(None, (source.anchor_near(index) for source in self._samples)), None)
        if anchor is None:
            return self._started_ns + clock.offset_ns(index)
        return anchor.t_utc_ns + clock.offset_ns(index - anchor.sample_index)


class ArchiveReader:
    """Everything from a place on, in order."""

    def __init__(self, items: Iterator[Block | Readings | Gap], batch: int) -> None:
        self._items = items
        self._batch = max(1, batch)
        self.is_at_end = False

    def take(self, most: int) -> list[Block | Gap]:
        """It gives up to `most` items. Raises SinkError where a file cannot be read any more."""
        found: list[Block | Gap] = []
        while not self.is_at_end and len(found) < min(most, self._batch):
            item = next(self._items, None)
            if item is None:
                self.is_at_end = True
            elif not isinstance(item, Readings):
                found.append(item)
        return found

    def close(self) -> None:
        """Nothing is kept open that the iterator does not close."""
        with contextlib.suppress(AttributeError):
            self._items.close()  # type: ignore[attr-defined]
