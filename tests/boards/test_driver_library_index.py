"""A driver's buffers get their indices from what they hold and, over a loss, from the sample clock."""

from __future__ import annotations

import pytest

from dtopipe.boards.driver_library.index import SampleIndex
from dtopipe.model.clock import SampleClock
from dtopipe.model.span import Span

MS = 1_000_000
NOTHING = Span(0, 0)


def index_at_1_khz(at: int = 0, t_start_ns: int = 0) -> SampleIndex:
    return SampleIndex(SampleClock(1000.0), at, t_start_ns)


def test_buffers_follow_each_other_however_late_they_are_told_of() -> None:
    index = index_at_1_khz()
    for number, late_ms in enumerate((0, 70, 3, 400)):
        lost, span = index.complete(100, (number * 100 + 100 + late_ms) * MS)
        assert not lost
        assert span == Span(number * 100, number * 100 + 100)


def test_a_partial_buffer_moves_the_index_by_its_own_samples_only() -> None:
    index = index_at_1_khz()
    index.complete(100, 100 * MS)
    assert index.complete(37, 137 * MS) == (Span(100, 100), Span(100, 137))
    assert index.next == 137


def test_over_an_overrun_the_index_goes_on_by_the_sample_clock() -> None:
    index = index_at_1_khz(at=5000, t_start_ns=7 * MS)
    index.complete(100, 107 * MS)
    index.overrun()
    assert index.complete(100, 450 * MS) == (Span(5100, 5343), Span(5343, 5443))
    assert index.complete(100, 550 * MS) == (Span(5443, 5443), Span(5443, 5543))


def test_a_loss_is_measured_against_the_quickest_buffer() -> None:
    index = index_at_1_khz()
    for number, late_ms in enumerate((12, 30, 15)):
        index.complete(100, (number * 100 + 100 + late_ms) * MS)
    index.overrun()
    assert index.complete(100, (700 + 12) * MS)[0] == Span(300, 600)


def test_a_clock_that_drifts_lengthens_no_loss() -> None:
    index = index_at_1_khz()
    # 100 ppm slow: after 1000 s, 100 samples of it would be taken for lost.
    for number in range(10_000):
        index.complete(100, (number + 1) * 100_010_000)
    index.overrun()
    lost, _ = index.complete(100, 10_101 * 100_010_000)
    assert lost.start == 1_000_000
    assert abs(len(lost) - 10_000) <= 2


def test_an_overrun_never_takes_back_what_was_read() -> None:
    index = index_at_1_khz()
    index.complete(100, 180 * MS)
    index.overrun()
    lost, span = index.complete(100, 190 * MS)
    assert not lost
    assert span == Span(100, 200)


def test_a_loss_before_the_first_buffer_and_one_at_the_end_are_seen() -> None:
    index = index_at_1_khz(t_start_ns=50 * MS)
    index.overrun()
    assert index.complete(100, 250 * MS) == (Span(0, 100), Span(100, 200))
    index.overrun()
    assert index.end(400 * MS) == Span(200, 350)
    assert not index.end(500 * MS)
    assert index.next == 350


@pytest.mark.parametrize(("t_done_ms", "t_first_ms"), [(150, 50), (103, 10), (110, 10)])
def test_the_first_sample_is_one_buffer_before_the_first_buffer_is_done_and_never_before_the_start(
    t_done_ms: int, t_first_ms: int
) -> None:
    index = index_at_1_khz(t_start_ns=10 * MS)
    index.complete(100, t_done_ms * MS)
    assert index.t_first_ns == t_first_ms * MS
    index.complete(100, 900 * MS)
    assert index.t_first_ns == t_first_ms * MS
