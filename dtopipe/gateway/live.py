"""A run in progress as it is served: from the ring, on from the journal where there is one, from any sample on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from dtopipe.core.gaps import explained
from dtopipe.intake.covered import CoveredBlocks
from dtopipe.intake.journal import JournalReader
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.shm.layout import Head
from dtopipe.shm.observer import EARLIEST_PART_OF_RING, RingObserver
from dtopipe.shm.ring import Ring

_BATCH_BLOCKS = 256
# A frame that fits into the processor's cache is read, encrypted and checked there.
_BATCH_BYTES = 2**19


@dataclass(slots=True)
class LiveRun:
    """`end`: where the run has ended, once its journal, if it has one, is closed. `journal`: the output's path."""

    stream: Stream
    ring: Ring
    journal: Path | None = None
    retires: bool = False
    end: int | None = None

    @property
    def has_begun(self) -> bool:
        """True once the board was started, so that times are known."""
        return self.ring.anchor().t_mono_ns != 0

    def anchor(self) -> Anchor:
        """The anchor of the present epoch."""
        return self.ring.anchor()

    def oldest(self, *, drops: bool) -> int:
        """The oldest sample: all of the journal for a reader that does not drop; else most of the ring."""
        if self.journal is not None and not drops:
            return self.ring.words[Head.SETTLED] if self.retires else self.ring.words[Head.FIRST_SAMPLE_INDEX]
        return RingObserver(self.ring).oldest_within(EARLIEST_PART_OF_RING)[0]

    def newest(self) -> int:
        """The sample index that the board has got to."""
        return self.ring.end()[0]

    def reader(self, at: int, *, drops: bool) -> LiveReader:
        """A reader from this sample on."""
        return LiveReader(self, at, drops=drops)


class LiveReader:
    """Blocks and gaps from `at` on, each sample once.

    It reads the ring; overtaken, it reads on from the journal until half a ring is left to read, as a sink does that
    the journal covers. One that drops, or has no journal, goes on half a ring behind the head: a gap, with its cause.
    """

    def __init__(self, run: LiveRun, at: int, *, drops: bool) -> None:
        self._run = run
        self._observer = RingObserver(run.ring)
        self._journal = None if drops or run.journal is None else JournalReader(run.journal, views=True)
        self._drops = drops
        self._at = at
        self._number: int | None = None
        self._covered: CoveredBlocks | None = None
        self._passed_over: Cause | None = None
        stream = run.stream
        block_bytes = max(1, len(stream.channels) * stream.samples_per_block * run.ring.layout.item_bytes)
        self._batch = max(1, min(_BATCH_BLOCKS, _BATCH_BYTES // block_bytes))

    @property
    def is_at_end(self) -> bool:
        """True once everything up to the end of the run was taken."""
        return self._run.end is not None and self._at >= self._run.end

    def take(self, most: int) -> list[Block | Gap]:
        """It gives up to about `most` items; empty where there are none yet."""
        items: list[Block | Gap] = []
        for block in self._blocks(min(most, self._batch)):
            if block.span.stop > self._at:
                if block.span.start > self._at:
                    items += self._gaps(block.span.start, block.anchor)
                items.append(block.trimmed(self._at))
                self._at = block.span.stop
        return items if items else self._tail()

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            with contextlib.suppress(OSError):
                self._journal.close()

    def _blocks(self, most: int) -> list[Block]:
        if self._journal is None:
            return self._uncovered(most)
        if self._covered is None:
            number = self._observer.number_before(self._at)
            self._covered = CoveredBlocks(
                self._observer, self._journal, self._number_in(self._journal) if number is None else number
            )
        blocks = self._covered.take(most)
        self._number = self._covered.number
        self._passed_over = self._covered.passed_over() or self._passed_over
        return blocks

    def _uncovered(self, most: int) -> list[Block]:
        """The blocks from the ring alone; overtaken, it goes on half a ring behind the head."""
        observer = self._observer
        if self._number is None:
            number = observer.number_before(self._at)
            self._number = (observer.resume() if observer.is_overtaken(0) else 0) if number is None else number
        blocks = observer.take(self._number, most)
        if not blocks and observer.is_overtaken(self._number):
            self._number = observer.resume()
            blocks = observer.take(self._number, most)
        if blocks:
            self._number = blocks[-1].block_index + 1
        return blocks

    def _number_in(self, journal: JournalReader) -> int:
        # Where it cannot be read now, it is read from its beginning later: what is before our place is passed over.
        with contextlib.suppress(OSError, WireError):
            return journal.number_before(self._at)
        return 0

    def _tail(self) -> list[Block | Gap]:
        """What is absent between the last block and the end of the run, once no block can follow."""
        end, observer = self._run.end, self._observer
        if end is None or self._at >= end or self._number is None or self._number < observer.head:
            return []
        return list(self._gaps(end, self._run.ring.anchor()))

    def _own_cause(self) -> Cause:
        """Why something is absent that the board has not lost."""
        if self._drops:
            return Cause.POLICY_DROP
        passed_over, self._passed_over = self._passed_over, None
        if passed_over is not None:
            return passed_over
        return Cause.WRITE_ERROR if self._journal is not None and self._journal.damaged else Cause.TRANSPORT

    def _gaps(self, stop: int, anchor: Anchor) -> list[Gap]:
        """What is absent up to `stop`, by cause; the board's own gaps with the times that it gave them."""
        clock = self._run.stream.clock
        hole, self._at = Span(self._at, stop), stop
        of_board = self._run.ring.board_gaps_beyond(hole.start)
        times = {gap.span.start: gap.t_utc_ns for gap in of_board}
        known = [*of_board, *(self._journal.gaps if self._journal else ())]
        gaps = explained(
            hole,
            known,
            self._own_cause(),
            lambda at: times.get(at, anchor.t_utc_ns + clock.offset_ns(at - anchor.sample_index)),
        )
        if self._journal is not None:
            # What was passed is of no use any more.
            self._journal.gaps = [gap for gap in self._journal.gaps if gap.span.stop > hole.stop]
        return gaps
