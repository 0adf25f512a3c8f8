"""How far an output is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dtopipe.model.facts import MOST_COUNT
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Block


@dataclass(frozen=True, slots=True)
class Position:
    """How far an output is. `committed`: exclusive sample index up to which everything is in it or in a gap.

    Counts are samples per channel; `dropped` is the part of `gap_samples` with cause `policy_drop`.
    Always: `start + samples + gap_samples == committed`. `retained_from`: what is before this index is counted, but was
    retired, for it is durable elsewhere; 0 where nothing was.
    """

    start: int = 0
    committed: int = 0
    durable: int = 0
    samples: int = 0
    gap_samples: int = 0
    dropped: int = 0
    retained_from: int = 0

    @property
    def adds_up(self) -> bool:
        """True of every position that was ever committed."""
        return (
            0 <= self.start <= self.committed <= MOST_COUNT
            and 0 <= self.durable <= self.committed
            and 0 <= self.dropped <= self.gap_samples
            and self.samples >= 0
            and 0 <= self.retained_from <= self.committed
            and self.start + self.samples + self.gap_samples == self.committed
        )

    def after(self, items: Sequence[Block | Gap | Readings]) -> Position:
        """The position once `items`, which follow on this one, are committed."""
        samples = lengths = dropped = 0
        for item in items:
            # Nearly all are blocks, up to a hundred thousand of them in a commit.
            if isinstance(item, Block):
                # A block of an error holds no sample, whatever its length.
                if item.error is None:
                    samples += item.codes.shape[1] if item.covers is None else item.covers
            elif isinstance(item, Gap):
                lengths += len(item)
                dropped += len(item) if item.cause is Cause.POLICY_DROP else 0
            else:
                samples += item.n_samples
        # Made for each block or message: `replace` takes three times as long.
        return Position(
            self.start,
            self.committed + samples + lengths,
            self.durable,
            self.samples + samples,
            self.gap_samples + lengths,
            self.dropped + dropped,
            self.retained_from,
        )
