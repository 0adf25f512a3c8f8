"""A program's readings as rows of typed columns."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import SinkSchemaError
from dtopipe.model.readings import Readings
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.programs.column_lock import ColumnLock
from dtopipe.sinks.programs.daq_times import error_texts, utc_ns_of


class ReadingItems:
    """Readings in the order in which they come, numbered from 0."""

    def __init__(self, output: str) -> None:
        self.columns = ColumnLock(output)
        self._output = output
        self._at = 0
        self._stream: Stream | None = None

    def lock(self, readings: Sequence[Any]) -> bool:
        """Fix the channels to those of these readings; False if they have none, being errors, and fix nothing."""
        names = list(dict.fromkeys(name for reading in readings for name in reading.values))
        if self.columns.names is None and names:
            units: dict[str, str | None] = {}
            for reading in readings:
                units |= {name: unit for name, unit in reading.units.items() if unit}
            self.columns.lock(names, units)
        return self.columns.names is not None

    def stream_of(self, reading: Any) -> Stream:
        """The stream that begins with this reading, or that it belongs to."""
        self.columns.lock((), {})
        if self._stream is None:
            self._stream = self._begun_with(reading)
        return self._stream

    def _begun_with(self, reading: Any) -> Stream:
        return Stream(
            run_id=f"readings-{uuid.uuid4().hex}",
            task=str(reading.task or ""),
            device=str(reading.device),
            channels=tuple(Channel(name, unit) for name, unit in self.columns.units.items()),
            dtype="float64",
            rate_hz=1.0,
            samples_per_block=1,
            started_at=iso_utc(utc_ns_of(reading.requested_at)),
            polled=True,
        )

    def items_of(self, readings: Sequence[Any]) -> list[Readings]:
        """What is to be appended for these readings. Raises SinkSchemaError. `took` is to be called once it is."""
        for reading in readings:
            self.columns.check(list(reading.values), reading.units)
        names = self.columns.names or ()
        errors = [error_texts(reading.error) or (None, None) for reading in readings]
        return [
            Readings(
                self._at,
                (
                    range(self._at, self._at + len(readings)),
                    [int(reading.t_mono_ns) for reading in readings],
                    [utc_ns_of(reading.t_utc) for reading in readings],
                    [reading.device for reading in readings],
                    [reading.task for reading in readings],
                    [reading.t_midpoint_mono_ns for reading in readings],
                    [utc_ns_of(reading.requested_at) for reading in readings],
                    [utc_ns_of(reading.received_at) for reading in readings],
                    [float(reading.latency_s) for reading in readings],
                    *([self._value(reading, name) for reading in readings] for name in names),
                    *([reading.units.get(name) for reading in readings] for name in names),
                    *map(list, _columns(errors)),
                ),
            )
        ]

    def took(self, readings: Sequence[Any]) -> None:
        """Their rows are appended."""
        self._at += len(readings)

    def _value(self, reading: Any, name: str) -> float | None:
        """A measured value is a float from the start, whatever the first one looked like."""
        value = reading.values.get(name)
        if value is None or value is np.ma.masked:
            return None
        if not isinstance(value, Real):
            raise SinkSchemaError(
                self._output, f"channel {name!r} has {value!r}, which is no number", "keep texts in the metadata"
            )
        number = float(value)
        return None if number != number else number


def _columns(pairs: Iterable[tuple[Any, Any]]) -> tuple[Sequence[Any], Sequence[Any]]:
    types, messages = zip(*pairs, strict=True)
    return types, messages
