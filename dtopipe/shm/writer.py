"""The acquirer's end of the ring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.ledger import Go, Pin, Stall, may_publish
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import Anchor
from dtopipe.model.span import Gap
from dtopipe.shm.fence import fence
from dtopipe.shm.layout import WORD, Head, SlotWord, Stage, Stat
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable


class RingWriter:
    """Leases slots, publishes blocks, logs the board's gaps. One thread of one process uses it."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._table = SubscriberTable(ring)
        self._free = 0
        self._woken: dict[int, int] = {}
        self._stats = ring.stats()
        limits = None if ring.layout.dtype == "float64" else np.iinfo(ring.layout.dtype)
        # What a predecessor that was killed left half done.
        ring.words[Head.SLEEPING] = ring.words[Head.WAITING_FOR] = ring.words[Head.WAITING_SINCE_NS] = 0
        ring.words[Head.PAIR_COUNT] += ring.words[Head.PAIR_COUNT] % 2
        self._rails = (limits.min, limits.max) if limits else None

    @property
    def head(self) -> int:
        """The next number to be published."""
        return self._ring.words[Head.HEAD]

    def lease(self) -> int | Stall:
        """The next sequence number, its slot free to be written, or whom it waits for."""
        head = self._ring.words[Head.HEAD]
        if self._free > 0:
            return head
        pins = [Pin(row, released) for row, released in self._table.pins()]
        answer = may_publish(head, self._ring.layout.n_slots, pins)
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
    ) -> None:
        """Copy one block, (n_channels, n) codes, into the leased slot and make it everybody's."""
        ring, words = self._ring, self._ring.words
        n_samples = codes.shape[1]
        at = ring.layout.slot_offset(number) // WORD
        words[at + SlotWord.NUMBER] = 0
        np.copyto(ring.codes(number, n_samples), codes)
        if sensor_status is not None:
            np.copyto(ring.sensor_status(number, n_samples), sensor_status)
        words[at + SlotWord.EPOCH] = words[Head.EPOCH]
        words[at + SlotWord.FIRST_SAMPLE_INDEX] = first_sample_index
        words[at + SlotWord.N_SAMPLES] = n_samples
        words[at + SlotWord.HAS_STATUS] = sensor_status is not None
        words[at + SlotWord.ANCHOR_INDEX] = anchor.sample_index
        words[at + SlotWord.ANCHOR_MONO_NS] = anchor.t_mono_ns
        words[at + SlotWord.ANCHOR_UTC_NS] = anchor.t_utc_ns
        words[at + SlotWord.T_TAKEN_NS] = t_taken_ns
        words[at + SlotWord.NUMBER] = number + 1
        self._count(codes, sensor_status)
        words[Head.HEAD] = number + 1
        self._free -= 1

    def record_gap(self, gap: Gap) -> None:
        """Log what the board lost, before the block that follows it is published."""
        words = self._ring.words
        count = words[Head.GAPS]
        total = self._ring.end()[1] + len(gap)
        at = self._ring.gap_at(count)
        entry = (gap.span.start, gap.span.stop, gap.cause.code, gap.t_utc_ns, total)
        for word, value in enumerate(entry):
            words[at + word] = value
        words[Head.GAPS] = count + 1

    def begin_epoch(self, anchor: Anchor) -> None:
        """The board runs: its sample `anchor.sample_index` was at these times."""
        words = self._ring.words
        words[Head.ANCHOR_INDEX] = anchor.sample_index
        words[Head.ANCHOR_MONO_NS] = anchor.t_mono_ns
        words[Head.ANCHOR_UTC_NS] = anchor.t_utc_ns
        words[Head.EPOCH] += 1
        words[Head.STAGE] = Stage.RUNNING

    def end(self) -> None:
        """Nothing follows: no policy can drop this mark."""
        self._ring.words[Head.STAGE] = Stage.ENDED

    def set_clock_pair(self, pair: Anchor) -> None:
        """A sample index and the times at which it was seen."""
        words = self._ring.words
        words[Head.PAIR_COUNT] += 1
        words[Head.PAIR_INDEX] = pair.sample_index
        words[Head.PAIR_MONO_NS] = pair.t_mono_ns
        words[Head.PAIR_UTC_NS] = pair.t_utc_ns
        words[Head.PAIR_COUNT] += 1

    def beat(self) -> None:
        """Progress was made."""
        self._ring.words[Head.HEARTBEAT_NS] = mono_ns()

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
        words = self._ring.words
        words[Head.WAITING_FOR] = sum(1 << row for row in stall.waiting_for)
        if not words[Head.WAITING_SINCE_NS]:
            words[Head.WAITING_SINCE_NS] = mono_ns()
        words[Head.SLEEPING] = 1
        fence()
        return isinstance(self.lease(), Stall)

    def woke(self) -> None:
        """The acquirer is awake."""
        self._ring.words[Head.SLEEPING] = 0

    def waited(self) -> None:
        """The wait is over, or was given up: nobody is waited for."""
        words = self._ring.words
        words[Head.WAITING_FOR] = 0
        if words[Head.WAITING_SINCE_NS]:
            words[Head.WAITED_NS] += mono_ns() - words[Head.WAITING_SINCE_NS]
            words[Head.WAITING_SINCE_NS] = 0

    def _count(self, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None) -> None:
        """Bring the channel statistics up to date; samples that are not OK count as nothing else."""
        stats = self._stats
        if sensor_status is None:
            # fmin and fmax pass over NaN, which only boards that convert by themselves deliver.
            low, high = np.fmin.reduce(codes, axis=1), np.fmax.reduce(codes, axis=1)
        else:
            ok = sensor_status == 0
            stats[Stat.NOT_OK] += (~ok).sum(axis=1)
            values = np.where(ok, codes, np.nan)
            low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
        np.fmin(stats[Stat.MIN], low, out=stats[Stat.MIN])
        np.fmax(stats[Stat.MAX], high, out=stats[Stat.MAX])
        if self._rails and (low.min() <= self._rails[0] or high.max() >= self._rails[1]):
            at_rail = (codes == self._rails[0]) | (codes == self._rails[1])
            if sensor_status is not None:
                at_rail &= sensor_status == 0
            stats[Stat.AT_RAIL] += at_rail.sum(axis=1)
