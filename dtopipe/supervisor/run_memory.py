"""The shared memory of a run, once its board has said what it delivers."""

from __future__ import annotations

from dtopipe.model.stream import Stream
from dtopipe.shm.layout import Head, Layout, Stage
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.table import SubscriberTable


class RunMemory:
    """Ring, readers' table and stream; None of them before the board has opened."""

    def __init__(self) -> None:
        self.segment = new_name()
        self.stream: Stream | None = None
        self.ring: Ring | None = None
        self.table: SubscriberTable | None = None

    @property
    def has_ended(self) -> bool:
        """True once no more blocks come."""
        return self.ring is not None and self.ring.status().stage is Stage.ENDED

    @property
    def end_sample_index(self) -> int:
        """Where the run has got to; 0 before there is a ring."""
        return self.ring.end()[0] if self.ring else 0

    @property
    def n_blocks(self) -> int:
        """How many blocks were published."""
        return 0 if self.ring is None else int(self.ring.words[Head.HEAD])

    def make(self, stream: Stream, layout: Layout, first_sample_index: int) -> tuple[Ring, SubscriberTable]:
        """The ring for this stream. Raises RingError."""
        ring = Ring.create(self.segment, layout, first_sample_index)
        self.stream, self.ring, self.table = stream, ring, SubscriberTable(ring)
        return ring, self.table

    def facts(self) -> dict[str, str]:
        """Where the ring is: by its name, and by the process that holds it while nobody knows that name any more."""
        return {"segment": self.segment, "held": self.ring.segment.held if self.ring else ""}

    def close(self) -> None:
        """Nothing is left of it."""
        if self.ring:
            self.ring.close()
        unlink(self.segment)
