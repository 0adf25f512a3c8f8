"""Values that need more than one channel: thermocouples whose cold junction is another channel, and formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import EngineeringValues, engineering_values, pending_calibration
from dtopipe.model.formula import Formula, FormulaError, parsed
from dtopipe.model.stream import Channel, SensorStatus
from dtopipe.model.thermocouples import rounded, thermocouple_table
from dtopipe.model.units import TEMPERATURES, VOLTS, from_celsius, to_celsius

# So many samples of all channels are worked out at once that they are in the processor's cache all the while.
_CHUNK = 2**12
Floats = NDArray[np.float64]
Status = NDArray[np.int8] | None


class DerivationError(ValueError):
    """Channels that cannot be worked out from each other: one is not there, or they need each other."""


def needs_others(channel: Channel) -> bool:
    """True if its values are made of other channels', too."""
    calibration = pending_calibration(channel)
    return bool(channel.formula) or (calibration is not None and calibration.junction_channel is not None)


def needed_by(channel: Channel) -> tuple[str, ...]:
    """The channels that its values are made of besides its own codes. Raises DerivationError where that is not told."""
    if channel.formula:
        return _formula_of(channel).names
    calibration = pending_calibration(channel)
    junction = None if calibration is None else calibration.junction_channel
    return () if junction is None else (junction,)


def circle_in(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of which each needs the next one, and the last is the first; empty where there is no such circle."""
    done: set[str] = set()
    for begin in needs:
        path: list[str] = []
        waiting: list[Iterator[str]] = [iter((begin,))]
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                waiting.append(iter(needs.get(name, ())))
    return []


@dataclass(frozen=True, slots=True)
class Values:
    """(n,) of one channel. `status`: int8 of SensorStatus, None where every one is OK; values are NaN where not."""

    values: Floats
    status: Status


class DerivedValues:
    """The values of any of these channels, each worked out once a block, after those that it is made of.

    `channels`: those that have codes, in the order of a block's rows. `virtual`: those that have a formula. `wanted`:
    names of either, those whose values are asked for. Raises DerivationError.
    """

    def __init__(self, channels: Sequence[Channel], virtual: Sequence[Channel], wanted: Sequence[str]) -> None:
        self._wanted = wanted
        known = {channel.name: channel for channel in (*channels, *virtual)}
        needs = _checked_needs(known, wanted)
        rows = {channel.name: row for row, channel in enumerate(channels)}
        self._steps: list[_Alone | _WithJunction | _ByFormula] = []
        groups: dict[tuple[str, str, str], _WithJunction] = {}
        for name in _in_order(needs):
            channel = known[name]
            if channel.formula:
                self._steps.append(_ByFormula(channel, _formula_of(channel)))
            elif not needs[name]:
                self._steps.append(_Alone(channel, rows[name]))
            else:
                # Thermocouples with one junction are worked out together.
                (junction,) = needs[name]
                group = _WithJunction(known[junction], channel)
                key = (group.letter, junction, channel.unit)
                if key not in groups:
                    groups[key] = group
                    self._steps.append(group)
                groups[key].add(channel, rows[name])

    def of(self, codes: NDArray[Any], sensor_status: Status) -> list[Values]:
        """Those that are wanted, of (n_channels, n) codes and sensor status."""
        known: dict[str, Values] = {}
        for step in self._steps:
            step.run(codes, sensor_status, known)
        return [known[name] for name in self._wanted]


class _Alone:
    """A channel whose values are made of its own codes."""

    def __init__(self, channel: Channel, row: int) -> None:
        self._channel = channel
        self._row = row

    def run(self, codes: NDArray[Any], sensor_status: Status, known: dict[str, Values]) -> None:
        values = engineering_values(self._channel, codes[self._row], None)
        own = None if sensor_status is None else sensor_status[self._row]
        may_be_none = pending_calibration(self._channel) is not None
        known[self._channel.name] = _judged(values, [own], may_be_none=may_be_none)


class _ByFormula:
    """A virtual channel."""

    def __init__(self, channel: Channel, formula: Formula) -> None:
        self._channel = channel
        self._formula = formula

    def run(self, codes: NDArray[Any], sensor_status: Status, known: dict[str, Values]) -> None:
        inputs = [known[name] for name in self._formula.names]
        values = self._formula([each.values for each in inputs])
        known[self._channel.name] = _judged(values, [each.status for each in inputs], may_be_none=True)


class _WithJunction:
    """Thermocouples of one type whose cold junction is one channel."""

    def __init__(self, junction: Channel, first: Channel) -> None:
        calibration = first.calibration
        if calibration is None:
            raise ValueError(f"{first.name} has no calibration")
        self.letter = str(calibration.definition["thermocouple"])
        self._unit = calibration.unit
        self._junction = junction
        self._names: list[str] = []
        self._rows: list[int] = []
        self._scalings: list[tuple[float, float]] = []

    def add(self, channel: Channel, row: int) -> None:
        """One more."""
        scale, offset = channel.input_scaling
        to_mv = VOLTS[channel.input_unit] * 1e3
        self._names.append(channel.name)
        self._rows.append(row)
        self._scalings.append((scale * to_mv, offset * to_mv))

    def run(self, codes: NDArray[Any], sensor_status: Status, known: dict[str, Values]) -> None:
        junction = known[self._junction.name]
        values = np.empty((len(self._rows), codes.shape[1]))
        is_whole = True
        for at in range(0, codes.shape[1], _CHUNK):
            part = slice(at, at + _CHUNK)
            is_whole &= self._worked_out(codes[self._rows, part], junction.values[part], values[:, part])
        for number, (name, row) in enumerate(zip(self._names, self._rows, strict=True)):
            own = None if sensor_status is None else sensor_status[row]
            known[name] = _judged(values[number], [own, junction.status], may_be_none=not is_whole)

    def _worked_out(self, codes: NDArray[Any], junction: Floats, out: Floats) -> bool:
        """Fill `out` with their temperatures, NaN beyond the table; True if there is none beyond it."""
        table = thermocouple_table(self.letter)
        scale, offset = (np.array(each)[:, None] for each in zip(*self._scalings, strict=True))
        emf_mv = codes * scale
        emf_mv += offset
        emf_mv += table.junction_emf(to_celsius(junction, self._junction.unit))
        low, high = table.emf_mv[[0, -1]].tolist()
        out[:] = rounded(from_celsius(table.temperatures(emf_mv), self._unit))
        # NaN is beyond both ends.
        is_whole = bool(emf_mv.min() >= low and emf_mv.max() <= high)
        if not is_whole:
            out[~((emf_mv >= low) & (emf_mv <= high))] = np.nan
        return is_whole


def _checked_needs(known: Mapping[str, Channel], wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What each of the wanted channels is made of, and each of these. Raises DerivationError."""
    needs: dict[str, tuple[str, ...]] = {}
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in needs:
            needs[name] = needed_by(known[name])
            for each in needs[name]:
                if each not in known:
                    raise DerivationError(f"channel {name!r} needs {each!r}, which is not there")
            waiting += needs[name]
    if circle := circle_in(needs):
        raise DerivationError(f"each of these channels needs the next one: {' -> '.join(circle)}")
    for name, inputs in needs.items():
        if inputs and not known[name].formula and known[inputs[0]].unit not in TEMPERATURES:
            raise DerivationError(f"the cold junction of {name!r}, {inputs[0]!r}, is no temperature")
    return needs


def _in_order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Every name behind those that it needs."""
    return list(TopologicalSorter(needs).static_order())


class ChannelValues:
    """The values of channels that all have codes, whatever they need of each other. Raises DerivationError."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._values: DerivedValues | EngineeringValues = EngineeringValues(channels)
        if any(map(needs_others, channels)):
            self._values = DerivedValues(channels, (), [channel.name for channel in channels])

    def __call__(self, codes: NDArray[Any], sensor_status: Status) -> Floats:
        """(n_channels, n) float64 of (n_channels, n) codes; NaN where a value is null."""
        if isinstance(self._values, EngineeringValues):
            return self._values(codes, sensor_status)
        return np.stack([each.values for each in self._values.of(codes, sensor_status)])


def _judged(values: Floats, statuses: Sequence[Status], *, may_be_none: bool) -> Values:
    """The values, NaN where they are null, and why: the first of these statuses that says so, or no value there."""
    known = [each for each in statuses if each is not None]
    if not known and not (may_be_none and np.isnan(values).any()):
        return Values(values, None)
    status = np.zeros(len(values), np.int8)
    if may_be_none:
        status[np.isnan(values)] = SensorStatus.OUT_OF_RANGE
    for each in reversed(known):
        np.copyto(status, each, where=each != SensorStatus.OK)
    if not status.any():
        return Values(values, None)
    # Copied: they may be the codes themselves.
    return Values(np.where(status == SensorStatus.OK, values, np.nan), status)


def _formula_of(channel: Channel) -> Formula:
    try:
        return parsed(channel.formula, channel.constants)
    except FormulaError as error:
        raise DerivationError(f"the formula of channel {channel.name!r} {error.message}") from error
