"""The journal's worker deletes what nobody needs any more: the supervisor says in shared memory up to where that is."""

from __future__ import annotations

from dtopipe.host.clock import mono_ns
from dtopipe.model.position import Position
from dtopipe.shm.calls import CallWords
from dtopipe.shm.layout import Call
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable
from dtopipe.sinks.file.reopening import ReopeningWriter

# A segment lasts for much longer.
_LOOKS_EVERY_NS = 200_000_000


class Retiring:
    """Looks now and then; does nothing for a writer that keeps all."""

    def __init__(self, writer: ReopeningWriter, ring: Ring, calls: CallWords) -> None:
        self._writer = writer if writer.retires else None
        self._table = SubscriberTable(ring)
        self._calls = calls
        self._looked_ns = 0

    def is_due(self) -> bool:
        """True if it is time for a look."""
        return self._writer is not None and mono_ns() - self._looked_ns >= _LOOKS_EVERY_NS

    def position(self, known: Position) -> Position:
        """Where the output is once its oldest segments are retired. Waits for nobody: what stays now goes later."""
        self._looked_ns = mono_ns()
        if self._writer is None:
            return known
        self._calls.enter(Call.SYNC)
        return self._writer.retire_before(self._table.settled())
