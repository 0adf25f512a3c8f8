"""The newest values of a run's channels, as people look at them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NewestValue:
    """One column: its newest value, and the lowest and highest of what was asked for; None where there is none.

    `trouble`: why the newest one is none, such as `sensor_open`.
    """

    name: str
    unit: str
    value: float | None
    lowest: float | None
    highest: float | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class NewestValues:
    """All columns at one sample."""

    sample_index: int
    t_utc_ns: int
    columns: tuple[NewestValue, ...]
