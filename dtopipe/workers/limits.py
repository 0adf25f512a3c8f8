"""The worker that watches limits: it reads as a sink's does, writes nothing, and tells the supervisor what it sees."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.crossings import LimitWatch
from dtopipe.host.clock import mono_ns
from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.limits import LimitPlan, LimitSeen
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file.reopening import ReopeningWriter
from dtopipe.sinks.rows.neighbours import joined
from dtopipe.wire.messages import LimitsSeen
from dtopipe.wire.orders import LimitOrders
from dtopipe.workers.process import Worker, run_worker
from dtopipe.workers.sink_worker import write
from dtopipe.workers.stages import Stages

# A crossing is told at once, but not each of a thousand: what came meanwhile is told with the next, or the next commit.
_SAID_EVERY_NS = 50_000_000
# A message has a bounded length, and each of these may tell of twenty crossings.
_MOST_IN_A_MESSAGE = 200
_BATCH_BYTES = 2**22


class LimitsWriter:
    """In the place of a sink's writer: it looks at every value, and says at each commit what it has seen."""

    def __init__(
        self,
        say: Callable[[LimitsSeen], None],
        limits: Sequence[LimitPlan],
        seen: Sequence[LimitSeen] = (),
        position: Position | None = None,
    ) -> None:
        """`seen`, `position`: where a predecessor was at its last commit."""
        self._say = say
        self._limits = limits
        self._known = {(each.channel, each.side): each for each in seen}
        self._position = position
        self._said_ns = 0

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """As SinkWriter.open; the stream has every channel that has a limit."""
        position = self._position if resume else None
        self._at = position or Position(start, start, start)
        self._stream = stream
        self._values = EngineeringValues(stream.channels)
        columns = reading_columns(stream.channels) if stream.polled else ()
        self._value_places = [place for place, column in enumerate(columns) if column.channel is not None]
        self._time_place = next((place for place, column in enumerate(columns) if column.name == "t_utc"), 0)
        # As they were told at the last commit.
        self._committed = dict(self._known) if position else {}
        names = [channel.name for channel in stream.channels]
        self._watches: list[tuple[int, LimitWatch]] = []
        for plan in self._limits:
            place = names.index(plan.channel)
            for_samples = stream.clock.samples_in(plan.for_s)
            for side, limit in plan.limits():
                known = self._known.get((plan.channel, side)) if position else None
                upto = self._at.committed
                self._watches.append(
                    (place, LimitWatch(plan.channel, side, limit, for_samples, known=known, upto=upto))
                )
        return self._at

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """As SinkWriter.append; what crosses a limit is told at once."""
        self._at = self._at.after(items)
        for item in items:
            if isinstance(item, Readings):
                self._look_at_readings(item)
        # A gap shows in the indices of what follows.
        for batch in joined(items, _BATCH_BYTES):
            if batch.samples.error is None:
                self._look_at(batch.samples)
        now_ns = mono_ns()
        if now_ns - self._said_ns >= _SAID_EVERY_NS and any(watch.has_news for _, watch in self._watches):
            self._said_ns = now_ns
            self._say_all([watch.seen() for _, watch in self._watches if watch.has_news], None)

    def commit(self) -> Position:
        """As SinkWriter.commit: what was seen up to there is told, so that a successor goes on with it."""
        self._at = replace(self._at, durable=self._at.committed)
        seen = {(each.channel, each.side): each for each in (watch.seen() for _, watch in self._watches)}
        changed = [each for key, each in seen.items() if each.news or self._committed.get(key) != each]
        self._committed = {key: replace(each, news=()) for key, each in seen.items()}
        self._say_all(changed, self._at)
        return self._at

    def sync(self) -> Position:
        """As SinkWriter.sync."""
        return self._at

    def close(self) -> Position:
        """As SinkWriter.close: what still lasts has lasted to the end."""
        for _, watch in self._watches:
            watch.end()
        return self.commit()

    def abandon(self) -> None:
        """As SinkWriter.abandon."""

    def _look_at(self, block: Block) -> None:
        values = self._values(block.codes, block.sensor_status)
        self._tell(values, block.first_sample_index, lambda at: block.t_utc_ns_at(at, self._stream.clock))

    def _look_at_readings(self, readings: Readings) -> None:
        first, columns = readings.first_sample_index, readings.columns
        # None becomes NaN.
        values = np.array([columns[place] for place in self._value_places], np.float64)
        self._tell(values, first, lambda at: int(columns[self._time_place][at - first]))

    def _say_all(self, seen: Sequence[LimitSeen], committed: Position | None) -> None:
        for begin in range(0, max(1, len(seen)), _MOST_IN_A_MESSAGE):
            end = begin + _MOST_IN_A_MESSAGE
            # Only with the last of them is all told that was seen up to there.
            self._say(LimitsSeen(tuple(seen[begin:end]), committed if end >= len(seen) else None))

    def _tell(self, values: NDArray[np.float64], first: int, utc_at: Callable[[int], int]) -> None:
        for place, watch in self._watches:
            watch.saw(values[place], first, utc_at)


def main(worker: Worker[LimitOrders]) -> None:
    """Watch the limits until the run has ended."""
    orders = worker.orders

    def made() -> LimitsWriter:
        return LimitsWriter(worker.control.send, orders.limits, orders.seen, orders.position)

    write(worker, ReopeningWriter(made, None), Stages())


if __name__ == "__main__":
    sys.exit(run_worker(main, LimitOrders))
