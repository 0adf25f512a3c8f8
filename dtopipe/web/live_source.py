"""Where a page's samples come from: the ring of a run of this machine, which nobody notices, or an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dtopipe.host.runtime import EntryFacts
from dtopipe.model.columns import tabular
from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.shm.observer import EARLIEST_PART_OF_RING, RingObserver
from dtopipe.shm.ring import Ring
from dtopipe.streaming.endpoint_follower import EndpointFollower
from dtopipe.streaming.wanted import Wanted

# In one go; what is left waits for the next turn.
_MOST_BLOCKS = 256
_MOST_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """(n_channels, n) values in units, NaN where there is none; `is_overtaken`: we were too slow for what is before."""

    first_sample_index: int
    values: NDArray[np.float64]
    is_overtaken: bool = False


class LiveSource(Protocol):
    """Samples as they come. One thread at a time calls it."""

    stream: Stream
    channels: Sequence[Channel]

    @property
    def has_ended(self) -> bool:
        """True once nothing more comes."""

    def take(self) -> list[Piece]:
        """Everything that is there by now, at once. Raises DtopipeError where nothing more will ever come."""

    def close(self) -> None:
        """Let go."""


class RingSource:
    """Reads copies from the ring: no row of its own, no event, no lock. Raises RingError if the ring is gone."""

    def __init__(self, facts: EntryFacts, stream: Stream) -> None:
        columns = tabular(stream)
        self.stream = stream
        self.channels: Sequence[Channel] = columns.stream.channels
        self._columns, self._values = columns, EngineeringValues(columns.stream.channels)
        self._ring = Ring.attach(facts.segment, facts.held)
        self._observer = RingObserver(self._ring)
        _, self._next = self._observer.oldest_within(EARLIEST_PART_OF_RING)
        block_bytes = max(1, 8 * len(self.channels) * stream.samples_per_block)
        self._most = max(1, min(_MOST_BLOCKS, _MOST_BYTES // block_bytes))

    @property
    def has_ended(self) -> bool:
        """True once every block was taken of a ring into which nothing more comes."""
        return self._observer.has_ended and self._next >= self._observer.head

    def take(self) -> list[Piece]:
        """The next blocks; of a ring that has gone round, from half a ring behind its head on."""
        is_overtaken = self._observer.is_overtaken(self._next)
        if is_overtaken:
            self._next = self._observer.resume()
        blocks = self._observer.take(self._next, self._most)
        self._next += len(blocks)
        pieces = []
        for block in blocks:
            if block.n_samples:
                pieces.append(Piece(block.first_sample_index, self._of(block), is_overtaken))
                is_overtaken = False
        return pieces

    def close(self) -> None:
        """Unmap it."""
        self._ring.close()

    def _of(self, block: Block) -> NDArray[np.float64]:
        made = self._columns.of(block)
        return self._values(made.codes, made.sensor_status)


class EndpointSource:
    """Follows the run of another machine under DROP: that machine keeps nothing for a page that is slow."""

    def __init__(self, endpoint: str, server_key: Path | None, *, insecure: bool) -> None:
        self._follower = EndpointFollower(Wanted(endpoint, "drop", "latest", True, Path(), server_key, insecure))
        self.stream: Stream
        self.channels: Sequence[Channel] = ()

    def join(self) -> bool:
        """False while that machine is not there. Raises DtopipeError where it will never take us."""
        if not self._follower.join():
            return False
        self.stream, self.channels = self._follower.run, self._follower.run.channels
        return True

    @property
    def has_ended(self) -> bool:
        """True once that run is over."""
        return self._follower.is_over

    def take(self) -> list[Piece]:
        """What has come over the link."""
        pieces: list[Piece] = []
        while len(pieces) < _MOST_BLOCKS and (block := self._follower.take_now()) is not None:
            is_overtaken = any(gap.cause.value == "policy_drop" for gap in block.gaps_before)
            pieces.append(Piece(block.first_sample_index, block.data, is_overtaken))
        return pieces

    def close(self) -> None:
        """Leave the link."""
        self._follower.leave()
