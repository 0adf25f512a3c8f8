"""A run as the gateway serves it: what its journal has committed, in order, from any sample on."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from dtopipe.core.gaps import explained
from dtopipe.host.clock import mono_ns
from dtopipe.journal.reader import JournalReader
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.shm.ring import Ring

_BATCH_BLOCKS = 256
_BATCH_BYTES = 4 * 2**20
# What is committed and cannot be read is damaged, once the journal has been closed for so long.
_PATIENCE_NS = 5_000_000_000


@dataclass(slots=True)
class ServedRun:
    """`end`: where the run has ended, once the journal holds all that it will ever hold; `committed`: what that is."""

    stream: Stream
    ring: Ring
    journal: Path
    end: int | None = None
    committed: int = 0

    @property
    def has_begun(self) -> bool:
        """True once the board was started, so that times are known."""
        return self.ring.anchor().t_mono_ns != 0


class RunReader:
    """Blocks and gaps from `at` on, each sample once; one thread uses it."""

    def __init__(self, run: ServedRun, at: int) -> None:
        self._run = run
        self._journal = JournalReader(run.journal)
        self._number: int | None = None
        self._at = at
        self._nothing_since_ns = 0
        self._is_away = False
        stream = run.stream
        block_bytes = max(1, len(stream.channels) * stream.samples_per_block * 2)
        self._batch = max(1, min(_BATCH_BLOCKS, _BATCH_BYTES // block_bytes))

    def take(self, most: int) -> list[Block | Gap]:
        """Up to about `most` items that are committed by now; empty where there are none yet."""
        try:
            blocks = self._blocks(min(most, self._batch))
        except (OSError, WireError) as error:
            if not self._is_away:
                logging.warning("the journal cannot be read: %s", error)
            self._is_away = True
            return []
        self._is_away = False
        items: list[Block | Gap] = []
        for block in blocks:
            if block.span.start > self._at:
                items += self._gaps(Span(self._at, block.span.start), block.anchor)
            items.append(block.trimmed(self._at))
            self._at = block.span.stop
        return items if items else self._tail()

    @property
    def at_end(self) -> bool:
        """True once everything up to the end of the run was taken."""
        return self._run.end is not None and self._at >= self._run.end

    @property
    def end(self) -> int:
        """Where the run has ended; where this is, before."""
        return self._at if self._run.end is None else self._run.end

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _blocks(self, most: int) -> list[Block]:
        """The next committed blocks that hold something from `at` on."""
        if self._number is None:
            self._number = self._journal.number_before(self._at) if self._at else 0
        while blocks := self._journal.take(self._number, most):
            self._number = blocks[-1].block_index + 1
            wanted = [block for block in blocks if block.span.stop > self._at]
            if wanted:
                return wanted
        return []

    def _tail(self) -> list[Block | Gap]:
        """What is absent between the last block and the end of the run, once no block can follow."""
        run = self._run
        if run.end is None or self._at >= run.end:
            return []
        known = self._at
        for gap in sorted([*self._journal.gaps, *run.ring.board_gaps_beyond(self._at)]):
            if gap.span.start <= known:
                known = max(known, gap.span.stop)
        if known < min(run.committed, run.end):
            self._nothing_since_ns = self._nothing_since_ns or mono_ns()
            if mono_ns() - self._nothing_since_ns < _PATIENCE_NS:
                return []
        hole, self._at = Span(self._at, run.end), run.end
        return [*self._gaps(hole, run.ring.anchor())]

    def _gaps(self, hole: Span, anchor: Anchor) -> list[Gap]:
        """What is absent between two blocks, by cause; the board's own gaps with the times that it gave them."""
        clock = self._run.stream.clock
        of_board = self._run.ring.board_gaps_beyond(hole.start)
        times = {gap.span.start: gap.t_utc_ns for gap in of_board}
        gaps = explained(
            hole,
            [*self._journal.gaps, *of_board],
            Cause.WRITE_ERROR,
            lambda at: times.get(at, anchor.t_utc_ns + clock.offset_ns(at - anchor.sample_index)),
        )
        # What was passed is of no use any more.
        self._journal.gaps = [gap for gap in self._journal.gaps if gap.span.stop > hole.stop]
        return gaps


def close_quietly(reader: RunReader | None) -> None:
    """Close it if there is one; a disk that is away is no reason to end."""
    if reader is not None:
        with contextlib.suppress(OSError):
            reader.close()
