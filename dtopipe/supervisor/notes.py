"""What people and instruments note of a run in progress beside its samples: marks, readings, metadata."""

from __future__ import annotations

from dtopipe.shm.layout import Head
from dtopipe.supervisor.instruments import Instruments
from dtopipe.supervisor.marking import Marking
from dtopipe.supervisor.metadata import Metadata
from dtopipe.supervisor.moments import Moments
from dtopipe.supervisor.run_memory import RunMemory


class Notes:
    """Tells the sinks, in shared memory, that there is something to be read in the run folder, and when that is all.

    A sink closes its output only once it knows that it has all: what is noted is in every output, or was refused.
    """

    def __init__(
        self, memory: RunMemory, moments: Moments, marking: Marking, instruments: Instruments, metadata: Metadata
    ) -> None:
        self._memory = memory
        self._moments = moments
        self.marking = marking
        self.instruments = instruments
        self.metadata = metadata

    def look(self, now_ns: int) -> None:
        """One turn: once the last sample was taken nothing more is noted."""
        self._moments.look()
        self.instruments.look(now_ns)
        ring = self._memory.ring
        if ring is None:
            return
        noted = self.marking.count + self.instruments.count
        if ring.words[Head.NOTED] != noted:
            ring.words[Head.NOTED] = noted
        if self._memory.has_ended and not self._moments.is_over:
            self._moments.is_over = True
            ring.words[Head.NOTES_ENDED] = 1
