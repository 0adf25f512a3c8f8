"""The call that a process is in, and since when: written by the process, read by its supervisor."""

from __future__ import annotations

from dtopipe.host.clock import mono_ns
from dtopipe.shm.layout import Call, Head, Row
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable


class CallWords:
    """Two words of the ring; a call that is entered again is progress."""

    def __init__(self, ring: Ring, at: int) -> None:
        self._words = ring.words
        self._at = at

    @classmethod
    def of_acquirer(cls, ring: Ring) -> CallWords:
        """Those of the board's process."""
        return cls(ring, Head.CALL)

    @classmethod
    def of_row(cls, ring: Ring, row: int) -> CallWords:
        """Those of a sink's process."""
        return cls(ring, SubscriberTable(ring).at(row) + Row.CALL)

    def enter(self, call: Call) -> None:
        """The process is in this call from now on."""
        self._words[self._at] = call
        self._words[self._at + 1] = mono_ns()

    def read(self) -> tuple[Call, int]:
        """The call, and when it was entered on `mono_ns`."""
        return Call(self._words[self._at]), self._words[self._at + 1]
