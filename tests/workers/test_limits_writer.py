"""Who watches limits, in the place of a sink's writer: whatever blocks are like, he looks at values in their units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from dtopipe.model.calibration import Calibration
from dtopipe.model.clock import Anchor
from dtopipe.model.columns import Columns
from dtopipe.model.limits import Crossing, LimitPlan, LimitSeen, Then
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import VIRTUAL, Block, Channel, SensorStatus, Stream
from dtopipe.wire.messages import LimitsSeen
from dtopipe.workers.limits import LimitsWriter
from dtopipe.workers.readings import ReadingRows

S = 1_000_000_000
LINE = Calibration({"polynomial": [0.0, 100.0]}, unit="degC")
STREAM = Stream(
    "run-1", "heat", "box",
    (Channel("flux", "V", scale=0.001), Channel("tc", "degC", scale=0.001, calibration=LINE)),
    "int16", 10.0, 4, "2026-11-22T23:41:00Z",
    virtual=(Channel("power", "W", VIRTUAL, formula="flux * tc"),),
)  # fmt: skip
LIMITS = (LimitPlan("tc", high=100.0, for_s=0.2, unit="degC"), LimitPlan("power", low=-1.0))
ANCHOR = Anchor(0, 0, 50 * S)


class Watcher:
    """The writer with the stream of what it was asked for, as a worker has it."""

    def __init__(
        self, limits: Sequence[LimitPlan] = LIMITS, *, seen: Sequence[LimitSeen] = (), position: Position | None = None,
        stream: Stream = STREAM,
    ) -> None:  # fmt: skip
        self.said: list[LimitsSeen] = []
        self.writer = LimitsWriter(self.said.append, limits, seen, position)
        names = list(dict.fromkeys(limit.channel for limit in limits))
        self.columns = Columns(stream, names, as_codes=False)
        self.position = self.writer.open(self.columns.stream, 0, resume=position is not None)

    def looks_at(self, first: int, flux: Sequence[int], tc: Sequence[int], *, status: int = 0) -> None:
        codes = np.array([flux, tc], np.int16)
        statuses = np.full(codes.shape, status, np.int8) if status else None
        self.writer.append([self.columns.of(Block(0, first, codes, ANCHOR, statuses))])

    def known(self) -> dict[str, LimitSeen]:
        return {each.channel: each for message in self.said for each in message.limits}

    def told(self) -> list[Crossing]:
        return [crossing for message in self.said for each in message.limits for crossing in each.news]


def test_values_are_those_of_tables() -> None:
    watcher = Watcher()
    watcher.looks_at(0, [0, 0, 0, 0], [900, 1001, 1002, 1003])
    watcher.looks_at(4, [0, -200, 0, 0], [1004, 100, 100, 100])
    watcher.writer.commit()
    over, low = watcher.told()[-2:]
    assert (over.start, over.at, over.stop, over.then) == (1, 3, 5, Then.INSIDE)
    assert over.start_value == pytest.approx(100.1)
    assert over.extreme == pytest.approx(100.4)
    assert over.start_utc_ns == 50 * S + S // 10
    assert (low.start, low.stop) == (5, 6)
    assert low.start_value == pytest.approx(-2.0)
    assert watcher.said[-1].committed == Position(0, 8, 8, 8)


def test_a_sensor_that_is_open_crosses_nothing() -> None:
    watcher = Watcher()
    watcher.looks_at(0, [0] * 4, [30_000] * 4, status=SensorStatus.OPEN)
    watcher.writer.commit()
    assert watcher.told() == []


def test_small_blocks_are_looked_at_together_and_a_gap_ends_a_crossing() -> None:
    watcher = Watcher()
    blocks = [watcher.columns.of(Block(n, n, np.array([[0], [2000]], np.int16), ANCHOR)) for n in range(6)]
    hole = Gap(Span(6, 9), Cause.BOARD_OVERRUN, 0)
    behind = watcher.columns.of(Block(9, 9, np.zeros((2, 4), np.int16), ANCHOR))
    watcher.writer.append([*blocks, hole, behind])
    watcher.writer.commit()
    (crossing,) = watcher.told()
    assert (crossing.start, crossing.stop, crossing.then) == (0, 6, Then.GAP)
    assert watcher.said[-1].committed == Position(0, 13, 13, 10, 3)


def test_what_lasts_to_the_end_is_told_to_do_so() -> None:
    watcher = Watcher()
    watcher.looks_at(0, [0] * 4, [2000] * 4)
    assert watcher.writer.close() == Position(0, 4, 4, 4)
    assert watcher.told()[-1].then is Then.END


def test_a_successor_goes_on_where_its_predecessor_has_committed() -> None:
    watcher = Watcher()
    watcher.looks_at(0, [0] * 4, [0, 0, 0, 1500])
    position = watcher.writer.commit()
    # What follows dies with its process.
    watcher.looks_at(4, [0] * 4, [2000] * 4)
    successor = Watcher(seen=[replace(each, news=()) for each in watcher.known().values()], position=position)
    assert successor.position == position
    successor.looks_at(4, [0] * 4, [1600, 1700, 0, 0])
    successor.writer.commit()
    (crossing,) = [each for each in successor.told() if each.stop is not None]
    assert (crossing.number, crossing.start, crossing.at, crossing.stop) == (1, 3, 5, 6)


def test_only_what_has_changed_is_told_at_a_commit() -> None:
    watcher = Watcher()
    watcher.looks_at(0, [0] * 4, [0] * 4)
    watcher.writer.commit()
    watcher.looks_at(4, [0] * 4, [0] * 4)
    watcher.writer.commit()
    assert [len(message.limits) for message in watcher.said] == [2, 0]
    assert watcher.said[-1].committed == Position(0, 8, 8, 8)


def test_readings_are_looked_at_at_their_own_times() -> None:
    stream = replace(STREAM, polled=True, virtual=())
    watcher = Watcher((LimitPlan("tc", high=100.0),), stream=stream)
    rows = ReadingRows(watcher.columns.stream)
    blocks = [
        watcher.columns.of(Block(n, n, np.array([[0], [code]], np.int16), Anchor(n, n, 77 * S + n * n), latency_ns=0))
        for n, code in enumerate((0, 0, 0, 2000, 0))
    ]
    watcher.writer.append(list(rows.of(blocks)))
    watcher.writer.commit()
    (crossing,) = watcher.told()
    assert (crossing.start, crossing.stop, crossing.start_utc_ns) == (3, 4, 77 * S + 9)
