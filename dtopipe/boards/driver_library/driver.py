"""The drivers that the board can sit on: the real one, which is Windows' own, behind one short protocol."""

from __future__ import annotations

import os
from typing import Any, Protocol

from dtopipe.boards.driver_library.codes import Converter
from dtopipe.boards.driver_library.options import BOARD
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import BoardError


class Driver(Protocol):
    """A backend of the driver library and what makes its buffers complete."""

    @property
    def backend(self) -> Any:
        """The driver library's own."""

    @property
    def simulated(self) -> bool:
        """True where samples are computed."""

    @property
    def end_sample_index(self) -> int | None:
        """Where it ends by itself, if it does."""

    def prepare(self, converter: Converter, rate_hz: float) -> None:
        """The board is configured, and has these codes at this rate."""

    def start(self, hdass: int, at: int) -> int:
        """Start the subsystem, whose first sample gets index `at`; an instant at or before that sample."""

    def stamp_ns(self) -> int:
        """Now, as the instant of the event that the backend is telling of."""

    def stop(self, hdass: int) -> bool:
        """Stop the subsystem in order. True if an event is to tell of the end; else everything was told of."""

    def abort(self, hdass: int) -> None:
        """Stop the subsystem at once. Harmless twice."""

    def poll(self, hdass: int, index: int) -> None:
        """The inputs are about to be read for reading `index`."""


class RealDriver:
    """The DataAcq SDK."""

    simulated = False
    end_sample_index = None

    def __init__(self) -> None:
        if os.name != "nt":
            raise BoardError(
                BOARD,
                "the driver of these boards is there for Windows only",
                "rehearse with board: {type: dtollib, backend: fake}, or with `up --simulate`",
            )
        from dtollib.backend import DataAcqBackend

        self.backend: Any = DataAcqBackend()

    def prepare(self, converter: Converter, rate_hz: float) -> None:
        """Nothing: it knows."""

    def start(self, hdass: int, at: int) -> int:
        """Start the subsystem; the instant before."""
        t_start_ns = mono_ns()
        self.backend.start(hdass)
        return t_start_ns

    def stamp_ns(self) -> int:
        """Now."""
        return mono_ns()

    def stop(self, hdass: int) -> bool:
        """Stop the subsystem, which completes the buffer that is being filled."""
        self.backend.stop(hdass)
        return False

    def abort(self, hdass: int) -> None:
        """Stop the subsystem in the middle of a buffer."""
        self.backend.abort(hdass)

    def poll(self, hdass: int, index: int) -> None:
        """Nothing: the inputs are what they are."""
