"""What a topology may say of a board of the driver library."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dtopipe.boards.simulated_part import MOST_SAMPLES, ScriptedOverrun, Waveform
from dtopipe.model.parts import BoardPart


class DriverLibraryBoardOptions(BoardPart):
    """Data Translation's boards by way of dtollib; needs the extra `dtol`, Python 3.13 and, to measure, Windows."""

    backend: Literal["real", "fake"] = Field(
        default="real",
        description="fake: computed samples by way of the driver library's fake backend, on any machine.",
    )
    device: str | None = Field(
        default=None, description="The board's name in the driver's list, such as DT9805(00); default: the first."
    )
    element: int = Field(default=0, ge=0, description="Which of the board's input subsystems.")
    waveform: Waveform = Field(default="sine", description="Of the fake backend, as the simulated board's.")
    frequency_hz: float = Field(default=1.0, ge=0, description="Of the fake backend's sine.")
    amplitude: float = Field(default=0.5, ge=0, le=1, description="Of the fake backend: 0 to 1 of half the range.")
    phase: float = Field(default=0.0, description="Of the fake backend's sine, in radians.")
    seed: int = Field(default=0, description="Of the fake backend's noise.")
    overruns: list[ScriptedOverrun] = Field(
        default_factory=list, description="Losses of the fake backend on purpose, such as [{at: 20000, samples: 3000}]."
    )
    max_samples: int | None = Field(
        default=None, ge=1, le=MOST_SAMPLES, description="The fake backend ends at this sample index."
    )
