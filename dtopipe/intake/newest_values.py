"""The newest values of a run in progress, read from its ring by whom nobody notices."""

from __future__ import annotations

import math

import numpy as np

from dtopipe.model.columns import tabular
from dtopipe.model.engineering import ERROR_TYPES, EngineeringValues
from dtopipe.model.newest import NewestValue, NewestValues
from dtopipe.model.stream import Block, SensorStatus, Stream
from dtopipe.shm.observer import RingObserver
from dtopipe.shm.ring import Ring

# Never more blocks than are copied in a moment.
_MOST_BLOCKS = 256


class ValuesOfRing:
    """Reads the newest blocks of a run in progress, which nobody notices."""

    def __init__(self, stream: Stream, ring: Ring, of_last_s: float) -> None:
        """`of_last_s`: what the lowest and highest value are of, in whole blocks."""
        self._clock = stream.clock
        self._observer = RingObserver(ring)
        self._n_blocks = max(1, math.ceil(of_last_s * stream.rate_hz / stream.samples_per_block))
        self._columns = tabular(stream)
        self._values = EngineeringValues(self._columns.stream.channels)

    def newest(self) -> NewestValues | None:
        """They as they are now; None before the first block."""
        most = min(self._n_blocks, _MOST_BLOCKS, self._observer.n_slots // 2)
        head = self._observer.head
        blocks = self._observer.take(max(0, head - max(1, most)), max(1, most))
        blocks = [block for block in blocks if block.error is None and block.n_samples]
        if not blocks:
            return None
        last = blocks[-1]
        at = last.span.stop - 1
        anchor = self._clock.anchor_at(last.anchor, at)
        return NewestValues(at, anchor.t_utc_ns, self._of(blocks))

    def _of(self, blocks: list[Block]) -> tuple[NewestValue, ...]:
        made = [self._columns.of(block) for block in blocks]
        values = np.concatenate([self._values(block.codes, block.sensor_status) for block in made], axis=1)
        status = made[-1].sensor_status
        found = []
        for number, channel in enumerate(self._columns.stream.channels):
            own = values[number]
            known = own[~np.isnan(own)]
            trouble = None if status is None else ERROR_TYPES[SensorStatus(int(status[number, -1]))]
            found.append(
                NewestValue(
                    name=channel.name,
                    unit=channel.unit,
                    value=_number(own[-1]),
                    lowest=_number(known.min()) if len(known) else None,
                    highest=_number(known.max()) if len(known) else None,
                    trouble=trouble or "",
                )
            )
        return tuple(found)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
