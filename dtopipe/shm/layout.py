"""Where everything lies in the segment; PROTOCOL.md tells the same in prose.

All words are aligned 8-byte signed little-endian integers, each written by one owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from dtopipe.core.ring_size import SLOT_HEADER_BYTES, bytes_before_slots, slot_bytes

MAGIC = int.from_bytes(b"DTOPIPE\x03", "little")
WORD = 8
MAX_ROWS = 62  # rows are bits of WAITING_FOR, a signed word
# A reader that is overtaken looks its missed span up here; 16384 overruns between two of its reads are enough.
GAP_LOG_ENTRIES = 16_384


class Head:
    """Words of the header. Up to DTYPE they are set once, before the segment is named to anybody."""

    MAGIC = 0
    SEGMENT_BYTES = 1
    N_SLOTS = 2
    SLOT_BYTES = 3
    N_CHANNELS = 4
    SAMPLES_PER_BLOCK = 5
    ITEM_BYTES = 6
    DTYPE = 7
    # the supervisor's: rows from ROWS on were never used; SUCCESSIONS counts pins that moved to another row;
    # JOURNAL_ROW is the journal's row plus one, 0 without a living one; JOURNAL_END is what the journal had released
    # when its row was closed; before SETTLED, a sample index, everything is durable in every BLOCK output but
    # the journal; FIRST_SAMPLE_INDEX is where the run begins, set once; NOTED counts marks and readings of
    # instruments in the run folder; NOTES_ENDED is 1 once no more of them come
    ROWS = 8
    SUCCESSIONS = 9
    JOURNAL_ROW = 10
    JOURNAL_END = 11
    SETTLED = 12
    FIRST_SAMPLE_INDEX = 13
    NOTED = 14
    NOTES_ENDED = 15
    # the acquirer's
    HEAD = 16
    EPOCH = 17
    STAGE = 18
    GAPS = 19
    SLEEPING = 20
    WAITING_FOR = 21
    WAITING_SINCE_NS = 22
    WAITED_NS = 23
    HEARTBEAT_NS = 24
    ANCHOR_INDEX = 25
    ANCHOR_MONO_NS = 26
    ANCHOR_UTC_NS = 27
    PAIR_COUNT = 28
    PAIR_INDEX = 29
    PAIR_MONO_NS = 30
    PAIR_UTC_NS = 31
    CALL = 32
    CALL_SINCE_NS = 33
    # of a run that is followed: where it has ended on the other machine, plus one; 0 while that did not say so
    SOURCE_END = 34
    # TIMING_WORDS for each call, as those of a row
    TIMINGS = 64


class Stage(IntEnum):
    """How far the acquirer is; ENDED means that no block and no gap follows."""

    OPENING = 0
    RUNNING = 1
    ENDED = 2


class Row:
    """Words of one subscriber. The supervisor's first; the worker's from CURSOR on.

    POSITIONS is the first of two places of POSITION_WORDS words: the worker fills the one that REPORTS does not
    point to, then counts REPORTS up, so that a worker killed at any instruction leaves a whole one.
    """

    STATE = 0
    POLICY = 1
    GENERATION = 2
    # 1 where a BLOCK reader may be overtaken, for it reads on from the journal
    COVERED = 3
    CURSOR = 8
    RELEASED = 9
    SLEEPING = 10
    HEARTBEAT_NS = 11
    BLOCKS = 12
    REPORTS = 13
    CALL = 14
    CALL_SINCE_NS = 15
    POSITIONS = 16
    # TIMING_WORDS for each call
    TIMINGS = 32


class Call(IntEnum):
    """What a process is doing. IDLE and WAIT are entered again at least every second; so is any other that gets on."""

    START = 0
    READ = 1
    OPEN = 2
    APPEND = 3
    COMMIT = 4
    SYNC = 5
    CLOSE = 6
    # for an output that is away, or the acquirer for a slot
    WAIT = 7
    PUBLISH = 8
    STOP = 9
    # values of an output's own channels and rows, from blocks
    CONVERT = 10
    # nothing is there to be done: for the next block
    IDLE = 11


class Timing:
    """Words of one kind of call, of those that have ended."""

    COUNT = 0
    TOTAL_NS = 1
    LAST_NS = 2
    MAX_NS = 3


class RowState(IntEnum):
    """A row in use holds slots if its policy is BLOCK, whether its worker lives or not."""

    FREE = 0
    IN_USE = 1


class SlotWord:
    """Words before a slot's payload. NUMBER is the sequence number plus one, 0 while the slot is written.

    LATENCY_NS is from the request for a reading to its answer, 0 for a block of a sample clock.
    """

    NUMBER = 0
    EPOCH = 1
    FIRST_SAMPLE_INDEX = 2
    N_SAMPLES = 3
    HAS_STATUS = 4
    ANCHOR_INDEX = 5
    ANCHOR_MONO_NS = 6
    ANCHOR_UTC_NS = 7
    T_TAKEN_NS = 8
    LATENCY_NS = 9


class GapWord:
    """Words of one entry of the gap log; TOTAL counts the samples of all gaps up to and with this one."""

    START = 0
    STOP = 1
    CAUSE = 2
    T_UTC_NS = 3
    TOTAL = 4


class Stat:
    """Rows of the channel statistics, one float64 a channel: codes, and counts of samples.

    MIN lies above MAX where a channel has no sample. There are two sets: with the head at `h`, set `h % 2` counts
    exactly what was published, wherever an acquirer may be killed.
    """

    MIN = 0
    MAX = 1
    NOT_OK = 2
    AT_RAIL = 3
    # Of those that are not OK.
    OPEN = 4
    ROWS = 5


HEAD_WORDS = 112
ROW_WORDS = 80
TIMING_WORDS = 4
POSITION_WORDS = 8
SLOT_WORDS = SLOT_HEADER_BYTES // WORD
GAP_WORDS = 8

DTYPES = ("int16", "int32", "float64")


@dataclass(frozen=True)
class Layout:
    """Sizes and byte offsets of one ring, each computed once."""

    n_slots: int
    n_channels: int
    samples_per_block: int
    dtype: str

    @cached_property
    def item_bytes(self) -> int:
        """Bytes of one code."""
        return np.dtype(self.dtype).itemsize

    @cached_property
    def payload_bytes(self) -> int:
        """Bytes of a full block's codes."""
        return self.n_channels * self.samples_per_block * self.item_bytes

    @cached_property
    def status_offset(self) -> int:
        """Where a slot's sensor status (n_channels, n) int8 begins, in the slot."""
        return SLOT_WORDS * WORD + self.payload_bytes

    @cached_property
    def slot_bytes(self) -> int:
        """Bytes from one slot to the next: header, codes, one status byte a sample."""
        return slot_bytes(self.n_channels, self.samples_per_block, self.item_bytes)

    @cached_property
    def rows_offset(self) -> int:
        """The subscriber table."""
        return HEAD_WORDS * WORD

    @cached_property
    def gaps_offset(self) -> int:
        """The gap log."""
        return self.rows_offset + MAX_ROWS * ROW_WORDS * WORD

    @cached_property
    def stats_offset(self) -> int:
        """The channel statistics, (2, Stat.ROWS, n_channels) float64."""
        return self.gaps_offset + GAP_LOG_ENTRIES * GAP_WORDS * WORD

    @cached_property
    def slots_offset(self) -> int:
        """The first slot."""
        return bytes_before_slots(self.n_channels)

    @cached_property
    def segment_bytes(self) -> int:
        """All of it."""
        return self.slots_offset + self.n_slots * self.slot_bytes

    def slot_offset(self, number: int) -> int:
        """Where sequence number `number` lies."""
        return self.slots_offset + (number % self.n_slots) * self.slot_bytes
