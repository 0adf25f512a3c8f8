"""The ring's words, shared by everybody who maps it: creation, attachment, and what all may read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import RingError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.shm.channel_stats import no_samples
from dtopipe.shm.layout import (
    DTYPES,
    GAP_LOG_ENTRIES,
    GAP_WORDS,
    HEAD_WORDS,
    MAGIC,
    SLOT_WORDS,
    WORD,
    GapWord,
    Head,
    Layout,
    SlotWord,
    Stage,
    Stat,
)
from dtopipe.shm.segment import Segment

_PAIR_TRIES = 3


@dataclass(frozen=True, slots=True)
class RingStatus:
    """A snapshot of the acquirer's words; counts are samples per channel."""

    head: int
    epoch: int
    stage: Stage
    first_sample_index: int
    end_sample_index: int
    overrun_samples: int
    gaps: int
    waiting_for: tuple[int, ...]
    waiting_since_ns: int
    waited_ns: int
    heartbeat_ns: int


class Ring:
    """One mapping of the ring's segment."""

    def __init__(self, segment: Segment, layout: Layout) -> None:
        self.segment = segment
        self.layout = layout
        self.words = segment.buffer.cast("q")
        self._codes, self._sensor_status = self._full_slots()

    @classmethod
    def create(cls, name: str, layout: Layout, first_sample_index: int = 0) -> Ring:
        """Make an empty ring, of a run that begins at this sample. Raises RingError."""
        ring = cls(Segment.create(name, layout.segment_bytes), layout)
        ring.words[Head.SEGMENT_BYTES] = layout.segment_bytes
        ring.words[Head.N_SLOTS] = layout.n_slots
        ring.words[Head.SLOT_BYTES] = layout.slot_bytes
        ring.words[Head.N_CHANNELS] = layout.n_channels
        ring.words[Head.SAMPLES_PER_BLOCK] = layout.samples_per_block
        ring.words[Head.ITEM_BYTES] = layout.item_bytes
        ring.words[Head.DTYPE] = DTYPES.index(layout.dtype)
        ring.stat_sets()[:] = no_samples(layout.dtype, layout.n_channels)
        ring.words[Head.FIRST_SAMPLE_INDEX] = first_sample_index
        ring.words[Head.MAGIC] = MAGIC
        return ring

    @classmethod
    def attach(cls, name: str, held: str = "") -> Ring:
        """Map the ring that the supervisor made, and holds there. Raises RingError if it is not there or not a ring."""
        segment = Segment.attach(name, held)
        layout = _layout_of(segment)
        if layout is None:
            segment.close()
            raise RingError(f"shared memory {name} is not a ring of this version of dtopipe")
        return cls(segment, layout)

    def close(self) -> None:
        """Unmap."""
        del self._codes, self._sensor_status
        self.words.release()
        self.segment.close()

    def stats(self) -> NDArray[np.float64]:
        """The statistics of all that was published: (Stat.ROWS, n_channels) float64; a copy."""
        sets, words = self.stat_sets(), self.words
        while True:
            head = words[Head.HEAD]
            stats: NDArray[np.float64] = sets[head & 1].copy()
            # The acquirer is back at this set as soon as it has published once more.
            if words[Head.HEAD] == head:
                return stats

    def stat_sets(self) -> NDArray[np.float64]:
        """Both sets of the statistics: (2, Stat.ROWS, n_channels) float64; a view."""
        shape = (2, Stat.ROWS, self.layout.n_channels)
        return np.ndarray(shape, np.float64, self.segment.buffer, self.layout.stats_offset)

    def codes(self, number: int, n_samples: int) -> NDArray[Any]:
        """The codes in `number`'s slot: (n_channels, n_samples), C order; a view."""
        layout = self.layout
        if n_samples == layout.samples_per_block:
            slot: NDArray[Any] = self._codes[number % layout.n_slots]
            return slot
        offset = layout.slot_offset(number) + SLOT_WORDS * WORD
        return np.ndarray((layout.n_channels, n_samples), layout.dtype, self.segment.buffer, offset)

    def codes_to_look_at(self, number: int, n_samples: int) -> NDArray[Any]:
        """The same as a view that nobody can make writable: programs get it."""
        layout = self.layout
        offset = layout.slot_offset(number) + SLOT_WORDS * WORD
        # np.ndarray() would go back to the mapping itself, which is writable.
        codes = np.frombuffer(self.segment.buffer.toreadonly(), layout.dtype, layout.n_channels * n_samples, offset)
        return codes.reshape(layout.n_channels, n_samples)

    def sensor_status(self, number: int, n_samples: int) -> NDArray[np.int8]:
        """The sensor status in `number`'s slot: (n_channels, n_samples) int8; a view."""
        layout = self.layout
        if n_samples == layout.samples_per_block:
            slot: NDArray[np.int8] = self._sensor_status[number % layout.n_slots]
            return slot
        offset = layout.slot_offset(number) + layout.status_offset
        return np.ndarray((layout.n_channels, n_samples), np.int8, self.segment.buffer, offset)

    def status(self) -> RingStatus:
        """What the acquirer says of itself."""
        words = self.words
        mask = words[Head.WAITING_FOR]
        end, overrun = self.end()
        return RingStatus(
            head=words[Head.HEAD],
            epoch=words[Head.EPOCH],
            stage=Stage(words[Head.STAGE]),
            first_sample_index=words[Head.FIRST_SAMPLE_INDEX],
            end_sample_index=end,
            overrun_samples=overrun,
            gaps=words[Head.GAPS],
            waiting_for=tuple(row for row in range(mask.bit_length()) if mask >> row & 1),
            waiting_since_ns=words[Head.WAITING_SINCE_NS],
            waited_ns=words[Head.WAITED_NS],
            heartbeat_ns=words[Head.HEARTBEAT_NS],
        )

    def end(self) -> tuple[int, int]:
        """(end sample index, samples in gaps) of what was published so far, from the newest slot and gap entry."""
        words = self.words
        end = words[Head.FIRST_SAMPLE_INDEX]
        while head := words[Head.HEAD]:
            at = self.layout.slot_offset(head - 1) // WORD
            end = words[at + SlotWord.FIRST_SAMPLE_INDEX] + words[at + SlotWord.N_SAMPLES]
            if words[at + SlotWord.NUMBER] == head:
                break
        # The log last: it then has every gap before that block, and what it has beyond is behind all blocks.
        count = words[Head.GAPS]
        if not count:
            return end, 0
        at = self.gap_at(count - 1)
        return max(end, words[at + GapWord.STOP]), words[at + GapWord.TOTAL]

    def source_end(self) -> int | None:
        """Where the run that is followed has ended on its own machine; None while that did not say so."""
        return self.words[Head.SOURCE_END] - 1 if self.words[Head.SOURCE_END] else None

    def first_sample_index(self, number: int) -> int | None:
        """The first sample index of the block of this number; None if the ring has it no more."""
        at = self.layout.slot_offset(number) // WORD
        index = self.words[at + SlotWord.FIRST_SAMPLE_INDEX]
        return index if self.words[at + SlotWord.NUMBER] == number + 1 else None

    def anchor(self) -> Anchor:
        """The anchor of the present epoch; its times are 0 before the board was started."""
        words = self.words
        return Anchor(words[Head.ANCHOR_INDEX], words[Head.ANCHOR_MONO_NS], words[Head.ANCHOR_UTC_NS])

    def clock_pair(self) -> tuple[int, Anchor]:
        """How many pairs were read so far, and the newest: (end sample index, times).

        A pair that is being written counts only once it is whole; its writer may have been killed over it.
        """
        words = self.words
        for _ in range(_PAIR_TRIES):
            count = words[Head.PAIR_COUNT]
            pair = Anchor(words[Head.PAIR_INDEX], words[Head.PAIR_MONO_NS], words[Head.PAIR_UTC_NS])
            if count % 2 == 0 and words[Head.PAIR_COUNT] == count:
                return count // 2, pair
        return 0, Anchor(0, 0, 0)

    def board_gaps(self, first: int = 0) -> list[Gap]:
        """The board's gaps from the `first`-th on, as far as the log still has them, in order."""
        count = self.words[Head.GAPS]
        return self._logged(range(max(first, _oldest_entry(count)), count))

    def board_gaps_beyond(self, sample_index: int) -> list[Gap]:
        """The board's gaps that end behind `sample_index`, as far as the log still has them, in order."""
        count = self.words[Head.GAPS]
        oldest = first = _oldest_entry(count)
        for entry in range(count - 1, oldest - 1, -1):
            if self.words[self.gap_at(entry) + GapWord.STOP] <= sample_index:
                first = entry + 1
                break
        return self._logged(range(first, count))

    def gap_at(self, entry: int) -> int:
        """Index of the first word of the gap log's `entry`-th entry."""
        return self.layout.gaps_offset // WORD + (entry % GAP_LOG_ENTRIES) * GAP_WORDS

    def _logged(self, entries: range) -> list[Gap]:
        """These entries of the gap log, but for those that were overwritten meanwhile."""
        found = []
        for entry in entries:
            at = self.gap_at(entry)
            found.append((entry, self.words[at : at + GapWord.TOTAL].tolist()))
        oldest = _oldest_entry(self.words[Head.GAPS])
        return [
            Gap(Span(start, stop), Cause.from_code(cause), t_utc_ns)
            for entry, (start, stop, cause, t_utc_ns) in found
            if entry >= oldest
        ]

    def _full_slots(self) -> tuple[NDArray[Any], NDArray[np.int8]]:
        """All slots as if their blocks were full: (n_slots, n_channels, samples_per_block) codes, sensor status."""
        layout = self.layout
        shape = (layout.n_slots, layout.n_channels, layout.samples_per_block)
        item, row = layout.item_bytes, layout.samples_per_block
        codes_at = layout.slots_offset + SLOT_WORDS * WORD
        status_at = layout.slots_offset + layout.status_offset
        buffer, step = self.segment.buffer, layout.slot_bytes
        codes: NDArray[Any] = np.ndarray(shape, layout.dtype, buffer, codes_at, (step, row * item, item))
        return codes, np.ndarray(shape, np.int8, buffer, status_at, (step, row, 1))


def _oldest_entry(count: int) -> int:
    """The oldest entry of the gap log that is surely whole: the next one may be being written over one before it."""
    return max(0, count - GAP_LOG_ENTRIES + 1)


def _layout_of(segment: Segment) -> Layout | None:
    """What the header says; None if it is not a whole ring's."""
    if len(segment.buffer) < HEAD_WORDS * WORD:
        return None
    with segment.buffer[: HEAD_WORDS * WORD] as header, header.cast("q") as words:
        if words[Head.MAGIC] != MAGIC:
            return None
        layout = Layout(
            n_slots=words[Head.N_SLOTS],
            n_channels=words[Head.N_CHANNELS],
            samples_per_block=words[Head.SAMPLES_PER_BLOCK],
            dtype=DTYPES[words[Head.DTYPE]],
        )
        is_whole = layout.segment_bytes == words[Head.SEGMENT_BYTES] <= len(segment.buffer)
        return layout if is_whole else None
