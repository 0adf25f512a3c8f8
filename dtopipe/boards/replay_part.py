"""What a topology may say of a board that plays a recording."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dtopipe.model.parts import BoardPart, PathText


class ReplayBoardOptions(BoardPart):
    """Plays a .dt-raw file with its codes, rate, channels and gaps."""

    path: PathText = Field(
        min_length=1, description="The recording, a .dt-raw file; relative to the topology's folder."
    )
    speed: float | Literal["max"] = Field(
        default=1.0, description="1.0 is the recording's own rate, 2.0 twice that; max is as fast as the ring allows."
    )
    loop: bool = Field(default=False, description="Begin again at the end, with rising sample indices.")

    @field_validator("speed")
    @classmethod
    def _forward(cls, value: float | str) -> float | str:
        if isinstance(value, float) and not value > 0:
            raise ValueError("a speed is more than 0, or max")
        return value
