"""The driver's inputs read one by one, at each tick of our clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dtopipe.boards.contract import Ended, Overrun, Poll, Taken
from dtopipe.boards.driver_library.codes import Converter
from dtopipe.boards.driver_library.driver import Driver
from dtopipe.boards.pace import PolledPace
from dtopipe.boards.timeline import BlockTimeline
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import SampleClock


class PolledReadings:
    """`inputs`: physical channel and gain of each. A tick that nobody asked at is an overrun."""

    def __init__(self, driver: Driver, hdass: int, converter: Converter, inputs: Sequence[tuple[int, float]]) -> None:
        self._driver = driver
        self._hdass = hdass
        self._converter = converter
        self._inputs = inputs

    def start(self, clock: SampleClock, at: int) -> None:
        """The first tick, which has index `at`, is now."""
        self._driver.start(self._hdass, at)
        self._pace = PolledPace(BlockTimeline(at, 1, end=self._driver.end_sample_index), clock, at)

    def next(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next reading, the ticks that were passed, or the end; None if nothing is due within `timeout_s`."""
        piece = self._pace.next(timeout_s)
        if piece is None or isinstance(piece, Ended):
            return piece
        if piece.cause is not None:
            return Overrun(piece.span, piece.cause)
        self._driver.poll(self._hdass, piece.span.start)
        read = self._driver.backend.get_single_value
        t_requested_ns = mono_ns()
        codes = [read(self._hdass, physical, gain) for physical, gain in self._inputs]
        poll = Poll(t_requested_ns, mono_ns())
        # A driver may call a code signed or not: its low bits count.
        bits = np.array(codes, np.int64).astype(f"u{self._converter.dtype}")
        return Taken(piece.span.start, self._converter.signed(bits, len(codes)), None, poll)

    def stop(self) -> None:
        """No tick is asked any more."""
        self._pace.stop()

    def close(self) -> None:
        """Nothing: no reading is kept."""
