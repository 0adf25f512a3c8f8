"""The acquirer's end of the ring."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.ledger import Go, Stall, may_publish
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import Anchor
from dtopipe.model.span import Gap
from dtopipe.shm.channel_stats import ChannelStats
from dtopipe.shm.fence import fence
from dtopipe.shm.layout import WORD, Head, SlotWord, Stage
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable

# The slot's words from EPOCH to LATENCY_NS.
_BLOCK = struct.Struct("<9q")


class RingWriter:
    """Leases slots, publishes blocks, logs the board's gaps. One thread of one process uses it."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._words = ring.words
        self._table = SubscriberTable(ring)
        self._free = 0
        self._woken: dict[int, int] = {}
        # What a predecessor that was killed left half done.
        ring.words[Head.SLEEPING] = ring.words[Head.WAITING_FOR] = ring.words[Head.WAITING_SINCE_NS] = 0
        self._stats = ChannelStats(ring.stats(), ring.layout.dtype)
        self._stat_sets = ring.stat_sets()

    @property
    def head(self) -> int:
        """The next number to be published."""
        return self._words[Head.HEAD]

    def lease(self) -> int | Stall:
        """The next sequence number, its slot free to be written, or whom it waits for."""
        head = self._words[Head.HEAD]
        if self._free > 0:
            return head
        # Whoever joins now sees this head, or is seen here.
        fence()
        answer = may_publish(head, self._ring.layout.n_slots, self._table.pins())
        if isinstance(answer, Go):
            self._free = answer.slots
            return head
        return answer

    def publish(
        self,
        number: int,
        first_sample_index: int,
        codes: NDArray[Any],
        sensor_status: NDArray[np.int8] | None,
        anchor: Anchor,
        t_taken_ns: int,
        latency_ns: int = 0,
    ) -> None:
        """Copy one block, (n_channels, n) codes, into the leased slot and make it everybody's.

        A reading is a block of one sample with an anchor of its own: the request; `latency_ns` later it was there.
        """
        ring, words = self._ring, self._words
        n_samples = codes.shape[1]
        offset = ring.layout.slot_offset(number)
        at = offset // WORD
        words[at + SlotWord.NUMBER] = 0
        slot = ring.codes(number, n_samples)
        np.copyto(slot, codes, casting="no")
        if sensor_status is not None:
            np.copyto(ring.sensor_status(number, n_samples), sensor_status)
        _BLOCK.pack_into(
            ring.segment.buffer, offset + SlotWord.EPOCH * WORD,
            words[Head.EPOCH], first_sample_index, n_samples, sensor_status is not None,
            anchor.sample_index, anchor.t_mono_ns, anchor.t_utc_ns, t_taken_ns, latency_ns,
        )  # fmt: skip
        words[at + SlotWord.NUMBER] = number + 1
        self._stats.count(slot, sensor_status)
        # The set that nobody reads until the head points to it.
        self._stats.write(self._stat_sets[(number + 1) & 1])
        words[Head.HEAD] = number + 1
        self._free -= 1

    def record_gap(self, gap: Gap) -> None:
        """Log what the board lost, before the block that follows it is published."""
        words = self._words
        count = words[Head.GAPS]
        total = self._ring.end()[1] + len(gap)
        at = self._ring.gap_at(count)
        entry = (gap.span.start, gap.span.stop, gap.cause.code, gap.t_utc_ns, total)
        for word, value in enumerate(entry):
            words[at + word] = value
        words[Head.GAPS] = count + 1

    def begin_epoch(self, anchor: Anchor) -> None:
        """The board runs: its sample `anchor.sample_index` was at these times."""
        words = self._words
        words[Head.ANCHOR_INDEX] = anchor.sample_index
        words[Head.ANCHOR_MONO_NS] = anchor.t_mono_ns
        words[Head.ANCHOR_UTC_NS] = anchor.t_utc_ns
        words[Head.EPOCH] += 1
        words[Head.STAGE] = Stage.RUNNING

    def know_source_end(self, end_sample_index: int) -> None:
        """The run that is followed has ended there, on its own machine."""
        self._words[Head.SOURCE_END] = end_sample_index + 1

    def end(self) -> None:
        """Nothing follows: no policy can drop this mark."""
        self._words[Head.STAGE] = Stage.ENDED

    def set_clock_pair(self, pair: Anchor) -> None:
        """A sample index and the times at which it was seen."""
        words = self._words
        # It is odd already where a predecessor was killed over its pair.
        writing = words[Head.PAIR_COUNT] | 1
        words[Head.PAIR_COUNT] = writing
        words[Head.PAIR_INDEX] = pair.sample_index
        words[Head.PAIR_MONO_NS] = pair.t_mono_ns
        words[Head.PAIR_UTC_NS] = pair.t_utc_ns
        words[Head.PAIR_COUNT] = writing + 1

    def beat(self) -> None:
        """Progress was made."""
        self._words[Head.HEARTBEAT_NS] = mono_ns()

    def rows_to_wake(self) -> Sequence[int]:
        """Readers that sleep and were not woken from this sleep yet; asked after publishing."""
        fence()
        found = []
        for row, sleep in self._table.sleepers():
            if self._woken.get(row) != sleep:
                self._woken[row] = sleep
                found.append(row)
        return found

    def waits(self, stall: Stall) -> bool:
        """Say that the acquirer sleeps for these rows; False if a slot came free meanwhile and it must not."""
        words = self._words
        words[Head.WAITING_FOR] = sum(1 << row for row in stall.waiting_for)
        if not words[Head.WAITING_SINCE_NS]:
            words[Head.WAITING_SINCE_NS] = mono_ns()
        words[Head.SLEEPING] = 1
        return isinstance(self.lease(), Stall)

    def woke(self) -> None:
        """The acquirer is awake."""
        self._words[Head.SLEEPING] = 0

    def waited(self) -> None:
        """The wait is over, or was given up: nobody is waited for."""
        words = self._words
        if words[Head.WAITING_SINCE_NS]:
            words[Head.WAITING_FOR] = 0
            words[Head.WAITED_NS] += mono_ns() - words[Head.WAITING_SINCE_NS]
            words[Head.WAITING_SINCE_NS] = 0
