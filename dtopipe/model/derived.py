"""Values that need more than one channel: thermocouples whose cold junction is another channel, and formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import EngineeringValues, engineering_values, inputs_of, pending_calibration
from dtopipe.model.formula import Formula, FormulaError, parsed
from dtopipe.model.stream import Channel, SensorStatus
from dtopipe.model.thermocouples import thermocouple_table
from dtopipe.model.units import TEMPERATURES, VOLTS, from_celsius, to_celsius

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
        self._rows = {channel.name: row for row, channel in enumerate(channels)}
        self._channels = {channel.name: channel for channel in (*channels, *virtual)}
        self._wanted = wanted
        needs: dict[str, tuple[str, ...]] = {}
        waiting = list(wanted)
        while waiting:
            name = waiting.pop()
            if name in needs:
                continue
            needs[name] = needed_by(self._channels[name])
            for each in needs[name]:
                if each not in self._channels:
                    raise DerivationError(f"channel {name!r} needs {each!r}, which is not there")
            waiting += needs[name]
        if circle := circle_in(needs):
            raise DerivationError(f"each of these channels needs the next one: {' -> '.join(circle)}")
        for name in needs:
            junction = needs[name][:1] if not self._channels[name].formula else ()
            if junction and self._channels[junction[0]].unit not in TEMPERATURES:
                raise DerivationError(f"the cold junction of {name!r}, {junction[0]!r}, is no temperature")
        self._needs = needs
        self._formulas = {name: _formula_of(self._channels[name]) for name in needs if self._channels[name].formula}

    def of(self, codes: NDArray[Any], sensor_status: Status) -> list[Values]:
        """Those that are wanted, of (n_channels, n) codes and sensor status."""
        known: dict[str, Values] = {}
        return [self._of(name, codes, sensor_status, known) for name in self._wanted]

    def _of(self, name: str, codes: NDArray[Any], sensor_status: Status, known: dict[str, Values]) -> Values:
        if name not in known:
            channel = self._channels[name]
            inputs = [self._of(each, codes, sensor_status, known) for each in self._needs[name]]
            own = None
            if channel.formula:
                values = self._formulas[name]([each.values for each in inputs])
            else:
                row = self._rows[name]
                own = None if sensor_status is None else sensor_status[row]
                if inputs:
                    unit = self._channels[self._needs[name][0]].unit
                    values = _with_junction(channel, codes[row], to_celsius(inputs[0].values, unit))
                else:
                    values = engineering_values(channel, codes[row], None)
            known[name] = _judged(channel, values, own, [each.status for each in inputs])
        return known[name]


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


def _with_junction(channel: Channel, codes: NDArray[Any], junction: Floats) -> Floats:
    """A thermocouple's values, `junction` being the temperature of its cold junction in degC."""
    calibration = channel.calibration
    if calibration is None:
        raise ValueError(f"{channel.name} has no calibration")
    table = thermocouple_table(calibration.definition["thermocouple"])
    emf_mv = inputs_of(channel, codes)
    emf_mv *= VOLTS[calibration.input_unit] * 1e3
    emf_mv += table.junction_emf(junction)
    values = from_celsius(table.temperatures(emf_mv), calibration.unit)
    values[~((emf_mv >= table.emf_mv[0]) & (emf_mv <= table.emf_mv[-1]))] = np.nan
    return values


def _judged(channel: Channel, values: Floats, own: Status, inputs: Sequence[Status]) -> Values:
    """The values, NaN where they are null, and why: its own sensor, the first input that is null, or no value there."""
    status = np.zeros(len(values), np.int8)
    is_calculated = bool(channel.formula) or pending_calibration(channel) is not None
    if is_calculated:
        status[np.isnan(values)] = SensorStatus.OUT_OF_RANGE
    for each in (*reversed(inputs), own):
        if each is not None:
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
