"""What the simulated board can be told, with the defaults."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from dtopipe.boards.waveform import Counter, Noise, Sine, Waveform
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import ChannelPlan
from dtopipe.model.span import Span
from dtopipe.model.stream import SensorStatus

BOARD = "simulated"


class Shape(StrEnum):
    """What a channel measures."""

    COUNTER = "counter"
    SINE = "sine"
    NOISE = "noise"


class PaceOption(StrEnum):
    """`realtime`: a clocked converter with a FIFO. `max`: as fast as it is read."""

    REALTIME = "realtime"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Signal:
    """One channel's signal. `amplitude`: 0 to 1 of half the range. `phase`: radians at sample 0."""

    waveform: Shape = Shape.SINE
    frequency_hz: float = 1.0
    amplitude: float = 0.5
    phase: float = 0.0
    seed: int = 0

    def over(self, channel: ChannelPlan) -> Signal:
        """The same with what the channel's own options override. Raises BoardError."""
        chosen = {key: value for key, value in channel.options.items() if key in _SIGNAL_KEYS and value is not None}
        return _converted(replace(self, **chosen))

    def waveform_of(self, channel: int, rate_hz: float) -> Waveform:
        """The codes of that channel (by its number in the task) with this signal."""
        if self.waveform is Shape.COUNTER:
            return Counter(channel)
        if self.waveform is Shape.NOISE:
            return Noise(self.seed, channel, self.amplitude)
        cycles = Fraction(repr(self.frequency_hz)) / Fraction(repr(float(rate_hz)))
        return Sine(cycles, self.amplitude, self.phase)


@dataclass(frozen=True, slots=True)
class SensorFault:
    """A stretch in which a channel's sensor is not OK; its codes go on as if it were."""

    channel: str
    span: Span
    status: SensorStatus


@dataclass(frozen=True, slots=True)
class SimulatedOptions:
    """`device`: None is shared by any number of runs, a name is held by one. `max_samples`: None never ends.

    `away_file`: while there is a file of this name, the board does not answer.
    """

    signal: Signal = Signal()
    pace: PaceOption = PaceOption.REALTIME
    device: str | None = None
    away_file: Path | None = None
    max_samples: int | None = None
    overruns: tuple[Span, ...] = ()
    sensor_faults: tuple[SensorFault, ...] = field(default=())

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> SimulatedOptions:
        """The options in the `board` section's keys. Raises BoardError on what it does not know or cannot be."""
        for key in options:
            if key not in _KEYS:
                raise _refusal(f"there is no option {key!r}", key, _KEYS)
        signal = Signal(**{key: options[key] for key in _SIGNAL_KEYS if options.get(key) is not None})
        most = options.get("max_samples")
        device, away_file = options.get("device"), options.get("away_file")
        try:
            return cls(
                signal=_converted(signal),
                pace=_one_of(PaceOption, "pace", options.get("pace", PaceOption.REALTIME)),
                device=None if device is None else str(device),
                away_file=None if away_file is None else Path(str(away_file)),
                max_samples=None if most is None else int(most),
                overruns=tuple(_span(item) for item in options.get("overruns") or ()),
                sensor_faults=tuple(_fault(item) for item in options.get("sensor_faults") or ()),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BoardError(
                BOARD,
                f"an option cannot be read: {error!r}",
                "overruns are {at, samples}, sensor_faults {channel, at, samples, status}, max_samples a number",
            ) from error


_SIGNAL_KEYS = tuple(each.name for each in fields(Signal))
_KEYS = (*_SIGNAL_KEYS, "pace", "device", "away_file", "overruns", "max_samples", "sensor_faults")

_Choice = TypeVar("_Choice", bound=StrEnum)


def _converted(signal: Signal) -> Signal:
    try:
        converted = Signal(
            waveform=_one_of(Shape, "waveform", signal.waveform),
            frequency_hz=float(signal.frequency_hz),
            amplitude=float(signal.amplitude),
            phase=float(signal.phase),
            seed=int(signal.seed),
        )
    except (TypeError, ValueError) as error:
        raise BoardError(
            BOARD, f"a signal's option is not a number: {error}", "write frequency_hz, amplitude, phase as numbers"
        ) from error
    if not (math.isfinite(converted.frequency_hz) and math.isfinite(converted.phase)):
        raise BoardError(BOARD, "frequency_hz or phase is not finite", "write plain numbers, in Hz and radians")
    if not 0.0 <= converted.amplitude <= 1.0:
        raise BoardError(BOARD, f"amplitude is {converted.amplitude:g}", "it goes from 0 to 1, of half the range")
    return converted


def _one_of(kind: type[_Choice], key: str, value: str) -> _Choice:
    words = tuple(kind)
    if value not in words:
        raise _refusal(f"{key} cannot be {value!r}", str(value), words)
    return kind(value)


def _span(item: Mapping[str, Any]) -> Span:
    at, samples = int(item["at"]), int(item["samples"])
    if at < 0 or samples < 1:
        raise ValueError(f"at: {at}, samples: {samples}")
    return Span(at, at + samples)


def _fault(item: Mapping[str, Any]) -> SensorFault:
    status = item.get("status", "open")
    number = SensorStatus[status.upper()] if isinstance(status, str) else SensorStatus(status)
    return SensorFault(str(item["channel"]), _span(item), number)


def _refusal(message: str, word: str, known: tuple[str, ...]) -> BoardError:
    near = difflib.get_close_matches(word, known, 1)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return BoardError(BOARD, message, remedy)
