"""The schema lock: the first write fixes the channels of an output, later ones are fitted to them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from dtopipe.model.errors import SinkSchemaError

_log = logging.getLogger("dtopipe.sinks")


class ColumnLock:
    """Channel names with their units, once known. `output` names the sink in warnings and errors."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._units: dict[str, str] | None = None
        self._warned: set[str] = set()

    @property
    def names(self) -> tuple[str, ...] | None:
        """The locked channels in order; None before the first write."""
        return None if self._units is None else tuple(self._units)

    @property
    def units(self) -> Mapping[str, str]:
        """The unit of each locked channel, empty where it has none."""
        return self._units or {}

    def lock(self, names: Iterable[str], units: Mapping[str, str | None]) -> None:
        """Fix the channels, if they are not yet."""
        if self._units is None:
            self._units = {name: units.get(name) or "" for name in names}

    def check(self, names: Sequence[str], units: Mapping[str, str | None]) -> None:
        """Warn of each channel that has no column, once. Raises SinkSchemaError where a unit has changed."""
        locked = self.units
        for name in names:
            if name not in locked:
                if name not in self._warned:
                    self._warned.add(name)
                    _log.warning(
                        "%s: column %r is dropped: the first write fixed the columns to %s",
                        self._output, name, ", ".join(locked) or "none",
                    )  # fmt: skip
                continue
            unit = units.get(name) or ""
            if unit and locked[name] and unit != locked[name]:
                raise SinkSchemaError(
                    self._output,
                    f"channel {name!r} is in {unit!r} now, and its column holds {locked[name]!r}",
                    "convert it, or write it to another output",
                )
