"""Rows of views: the same however samples come in blocks, and those that the arithmetic wants."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.model import reduction
from dtopipe.model.clock import Anchor
from dtopipe.model.position import Position
from dtopipe.model.reduction import REDUCTIONS, Reduction
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Channel, SensorStatus, Stream

_ANCHOR = Anchor(0, 10, 1_000)


def _stream() -> Stream:
    channels = (Channel("flux", "V", scale=0.25, offset=0.1), Channel("count", kind="raw"))
    return Stream("run", "task", "board", channels, "int16", 1000.0, 100, "2026-11-22T23:41:00Z")


def _block(start: int, stop: int, faults: frozenset[int] = frozenset()) -> Block:
    index = np.arange(start, stop)
    codes = np.stack([(index * 7919) % 1000 - 500, index % 300]).astype(np.int16)
    status = np.where(np.isin(index, list(faults)), np.int8(SensorStatus.OPEN), np.int8(0))
    return Block(start // 100, start, codes, _ANCHOR, np.stack([status, status]) if faults else None)


def _gap(start: int, stop: int) -> Gap:
    return Gap(Span(start, stop), Cause.BOARD_OVERRUN, 1)


def _rows(items: Sequence[Block | Gap]) -> list[tuple[Any, ...]]:
    """Index, time and values of each row, gaps among them."""
    found: list[tuple[Any, ...]] = []
    for item in items:
        if isinstance(item, Gap):
            found.append((item.span.start, item.span.stop))
            continue
        columns = item.codes.tolist()
        status = np.zeros(item.codes.shape, int) if item.sensor_status is None else item.sensor_status
        times = item.t_mono_ns(_stream().clock).tolist()
        for row, index in enumerate(item.sample_index().tolist()):
            values = [repr(column[row]) for column in columns]
            found.append((index, times[row], *values, *status[:, row].tolist()))
    return found


def _pieces(length: int, holes: list[tuple[int, int]], cuts: list[int]) -> list[Block | Gap]:
    faults = frozenset(range(17, length, 13)) | frozenset(range(60, 80))
    bounds = sorted({0, length, *(cut % length for cut in cuts)})
    items: list[Block | Gap] = []
    at = 0
    for start, stop in sorted(holes):
        start, stop = max(at, start), min(length, stop)
        if start >= stop:
            continue
        items += _blocks(at, start, bounds, faults)
        items.append(_gap(start, stop))
        at = stop
    return [*items, *_blocks(at, length, bounds, faults)]


def _blocks(start: int, stop: int, bounds: list[int], faults: frozenset[int]) -> list[Block | Gap]:
    inner = [start, *(bound for bound in bounds if start < bound < stop), stop]
    return [_block(low, high, faults) for low, high in pairwise(inner) if low < high]


_holes = st.lists(st.tuples(st.integers(0, 250), st.integers(1, 60)).map(lambda h: (h[0], h[0] + h[1])), max_size=3)


@given(
    st.integers(2, 70), st.sampled_from(REDUCTIONS), st.integers(1, 260), _holes, st.lists(st.integers(0, 300)),
    st.sampled_from([4, 16, 4096]),
)  # fmt: skip
def test_rows_are_the_same_however_samples_come(
    every: int, reduce: str, length: int, holes: list[tuple[int, int]], cuts: list[int], piece: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "_PIECE", piece)
        found = []
        for bounds in ([], cuts):
            view = Reduction(_stream(), every, reduce)
            items = [row for item in _pieces(length, holes, bounds) for row in view.of([item])]
            items += view.rest()
            position = Position().after(items)
            assert position.adds_up
            assert position.committed == length
            found.append(_rows(items))
    assert found[0] == found[1]


def test_a_row_has_the_mean_of_its_samples() -> None:
    view = Reduction(_stream(), 100, "mean")
    (rows,) = view.of([_block(0, 250)])
    assert isinstance(rows, Block)
    assert rows.sample_index().tolist() == [0, 100]
    assert rows.span == Span(0, 200)
    wanted = _block(0, 100).codes[0] * 0.25 + 0.1
    assert rows.codes[0, 0] == pytest.approx(wanted.mean(), rel=1e-12)
    assert rows.codes[1].tolist() == [49.5, 149.5]
    assert view.held_from == 200
    (last,) = view.rest()
    assert last.span == Span(200, 250)
    assert view.held_from is None


def test_lowest_and_highest_have_columns_of_their_own() -> None:
    view = Reduction(_stream(), 50, "minmax")
    assert [channel.name for channel in view.stream.channels] == ["flux_min", "flux_max", "count_min", "count_max"]
    assert [channel.unit for channel in view.stream.channels] == ["V", "V", "", ""]
    (rows,) = view.of([_block(0, 50)])
    assert isinstance(rows, Block)
    assert rows.codes[2:, 0].tolist() == [0.0, 49.0]


def test_the_first_one_stays_a_code() -> None:
    view = Reduction(_stream(), 50, "first")
    (rows,) = view.of([_block(0, 100)])
    assert isinstance(rows, Block)
    assert rows.codes.dtype == np.int16
    assert rows.codes[1].tolist() == [0, 50]


def test_what_a_gap_cuts_short_is_a_row_of_its_own() -> None:
    view = Reduction(_stream(), 100, "mean")
    items = [*view.of([_block(0, 30), _gap(30, 40), _block(40, 230)]), *view.rest()]
    spans = [item.span for item in items]
    assert spans == [Span(0, 30), Span(30, 40), Span(40, 100), Span(100, 200), Span(200, 230)]


def test_a_row_is_null_where_no_sample_has_a_value() -> None:
    view = Reduction(_stream(), 10, "mean")
    (rows,) = view.of([_block(0, 20, frozenset(range(10)))])
    assert isinstance(rows, Block)
    assert rows.sensor_status is not None
    assert rows.sensor_status[0].tolist() == [SensorStatus.OPEN, SensorStatus.OK]
    assert np.isnan(rows.codes[0]).tolist() == [True, False]
