"""The ring's words, shared by everybody who maps it: creation, attachment, and what all may read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import RingError
from dtopipe.model.span import Cause, Gap, Span
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
)
from dtopipe.shm.segment import Segment

_PAIR_TRIES = 3


@dataclass(frozen=True, slots=True)
class RingStatus:
    """A snapshot of the acquirer's words; counts are samples per channel."""

    head: int
    epoch: int
    stage: Stage
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

    @classmethod
    def create(cls, name: str, layout: Layout) -> Ring:
        """Make an empty ring. Raises RingError."""
        ring = cls(Segment.create(name, layout.segment_bytes), layout)
        ring.words[Head.SEGMENT_BYTES] = layout.segment_bytes
        ring.words[Head.N_SLOTS] = layout.n_slots
        ring.words[Head.SLOT_BYTES] = layout.slot_bytes
        ring.words[Head.N_CHANNELS] = layout.n_channels
        ring.words[Head.SAMPLES_PER_BLOCK] = layout.samples_per_block
        ring.words[Head.ITEM_BYTES] = layout.item_bytes
        ring.words[Head.DTYPE] = DTYPES.index(layout.dtype)
        ring.stats()[:2] = [[np.inf], [-np.inf]]
        ring.words[Head.MAGIC] = MAGIC
        return ring

    @classmethod
    def attach(cls, name: str) -> Ring:
        """Map the ring that the supervisor made. Raises RingError if it is not there or not a ring."""
        segment = Segment.attach(name)
        words = segment.buffer[: HEAD_WORDS * WORD].cast("q")
        if words[Head.MAGIC] != MAGIC or words[Head.SEGMENT_BYTES] > len(segment.buffer):
            raise RingError(f"shared memory {name} is not a ring of this version of dtopipe")
        layout = Layout(
            n_slots=words[Head.N_SLOTS],
            n_channels=words[Head.N_CHANNELS],
            samples_per_block=words[Head.SAMPLES_PER_BLOCK],
            dtype=DTYPES[words[Head.DTYPE]],
        )
        words.release()
        return cls(segment, layout)

    def close(self) -> None:
        """Unmap."""
        self.words.release()
        self.segment.close()

    def stats(self) -> NDArray[np.float64]:
        """The channel statistics: (4, n_channels) float64, rows of `Stat`; a view."""
        shape = (4, self.layout.n_channels)
        return np.ndarray(shape, np.float64, self.segment.buffer, self.layout.stats_offset)

    def codes(self, number: int, n_samples: int) -> NDArray[Any]:
        """The codes in `number`'s slot: (n_channels, n_samples), C order; a view."""
        shape = (self.layout.n_channels, n_samples)
        offset = self.layout.slot_offset(number) + SLOT_WORDS * WORD
        return np.ndarray(shape, self.layout.dtype, self.segment.buffer, offset)

    def sensor_status(self, number: int, n_samples: int) -> NDArray[np.int8]:
        """The sensor status in `number`'s slot: (n_channels, n_samples) int8; a view."""
        shape = (self.layout.n_channels, n_samples)
        offset = self.layout.slot_offset(number) + self.layout.status_offset
        return np.ndarray(shape, np.int8, self.segment.buffer, offset)

    def status(self) -> RingStatus:
        """What the acquirer says of itself."""
        words = self.words
        mask = words[Head.WAITING_FOR]
        end, overrun = self.end()
        return RingStatus(
            head=words[Head.HEAD],
            epoch=words[Head.EPOCH],
            stage=Stage(words[Head.STAGE]),
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
        last_stop = total = 0
        if count := words[Head.GAPS]:
            at = self.gap_at(count - 1)
            last_stop, total = words[at + GapWord.STOP], words[at + GapWord.TOTAL]
        while head := words[Head.HEAD]:
            at = self.layout.slot_offset(head - 1) // WORD
            end = words[at + SlotWord.FIRST_SAMPLE_INDEX] + words[at + SlotWord.N_SAMPLES]
            if words[at + SlotWord.NUMBER] == head:
                return max(end, last_stop), total
        return last_stop, total

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
        first = max(first, count - GAP_LOG_ENTRIES)
        found = []
        for entry in range(first, count):
            at = self.gap_at(entry)
            start, stop, cause, t_utc_ns = self.words[at : at + GapWord.TOTAL]
            found.append(Gap(Span(start, stop), Cause.from_code(cause), t_utc_ns))
        return found

    def gap_at(self, entry: int) -> int:
        """Index of the first word of the gap log's `entry`-th entry."""
        return self.layout.gaps_offset // WORD + (entry % GAP_LOG_ENTRIES) * GAP_WORDS
