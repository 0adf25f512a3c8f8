"""What a topology may say of the simulated board, and of its channels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dtopipe.model.parts import BoardPart, Part, PathText

# Sample indices are 64-bit; a hundred years at 1 GHz fit in.
MOST_SAMPLES = 2**62

Waveform = Literal["counter", "sine", "noise"]


class SimulatedChannel(Part):
    """What one channel of the simulated board may have of its own."""

    waveform: Waveform | None = Field(default=None, description="counter, sine or noise; default: the board's.")
    frequency_hz: float | None = Field(default=None, ge=0, description="Of the sine; default: the board's.")
    amplitude: float | None = Field(
        default=None, ge=0, le=1, description="0 to 1 of half the range; default: the board's."
    )
    phase: float | None = Field(default=None, description="Of the sine, in radians; default: the board's.")
    seed: int | None = Field(default=None, description="Of the noise; default: the board's.")


class ScriptedOverrun(Part):
    """Samples that the board loses on purpose."""

    at: int = Field(ge=0, le=MOST_SAMPLES, description="The first sample index that is lost.")
    samples: int = Field(gt=0, le=MOST_SAMPLES, description="How many, per channel.")


class SensorFault(Part):
    """A sensor that is not OK for a while."""

    channel: str = Field(description="The channel's name.")
    at: int = Field(ge=0, le=MOST_SAMPLES, description="The first sample index of it.")
    samples: int = Field(gt=0, le=MOST_SAMPLES, description="For how many samples.")
    status: Literal["open", "low", "high"] = Field(default="open", description="What is wrong with the sensor.")


class SimulatedBoardOptions(BoardPart):
    """A converter of pure functions: its own oracle."""

    waveform: Waveform = Field(
        default="sine", description="counter: ((i * (2c + 1) + 257c) mod 65536) - 32768; sine; noise."
    )
    frequency_hz: float = Field(default=1.0, ge=0, description="Of the sine.")
    amplitude: float = Field(default=0.5, ge=0, le=1, description="0 to 1 of half the range.")
    phase: float = Field(default=0.0, description="Of the sine, in radians.")
    seed: int = Field(default=0, description="Of the noise.")
    pace: Literal["realtime", "max"] = Field(
        default="realtime",
        description="realtime: a clocked converter, which overruns when nobody reads; max: as fast as the ring allows.",
    )
    overruns: list[ScriptedOverrun] = Field(
        default_factory=list, description="Losses on purpose, such as [{at: 20000, samples: 3000}]."
    )
    sensor_faults: list[SensorFault] = Field(
        default_factory=list,
        description=(
            "Sensors that are not OK for a while, such as [{channel: tc1, at: 5000, samples: 200, status: open}]."
        ),
    )
    max_samples: int | None = Field(
        default=None, ge=1, le=MOST_SAMPLES, description="The run ends at this sample index."
    )
    device: str | None = Field(
        default=None, description="A name makes it one unit that only one run at a time may hold."
    )
    away_file: PathText | None = Field(
        default=None,
        min_length=1,
        description=(
            "Rehearsal of a cable that is pulled: while this file is there, the board does not answer; relative to "
            "the topology's folder."
        ),
    )
