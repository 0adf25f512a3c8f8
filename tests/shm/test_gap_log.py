"""The board's gaps, as long as the log has them."""

from __future__ import annotations

import itertools

import pytest
from stepped_ring import Feed, ring_of

from dtopipe.model.span import Gap
from dtopipe.shm import ring as ring_module
from dtopipe.shm.ring import Ring

ENTRIES = 8


@pytest.fixture(autouse=True)
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns come soon."""
    monkeypatch.setattr(ring_module, "GAP_LOG_ENTRIES", ENTRIES)


def losses(feed: Feed, count: int) -> list[Gap]:
    """So many gaps with a block between each two."""
    lost = []
    for _ in range(count):
        lost.append(feed.lose(4))
        feed.publish()
    return lost


@pytest.mark.parametrize("count", [0, 1, ENTRIES - 1, ENTRIES, ENTRIES + 1, 3 * ENTRIES])
def test_the_newest_gaps_are_there_whole_and_in_order(count: int) -> None:
    with ring_of() as ring:
        lost = losses(Feed(ring), count)
        # The oldest place may be the one that is written over now.
        assert ring.board_gaps() == lost[-ENTRIES + 1 :]
        assert ring.end() == (7 * count, 4 * count)


def test_gaps_from_an_entry_or_beyond_a_sample_are_asked_for() -> None:
    with ring_of() as ring:
        lost = losses(Feed(ring), 5)
        assert ring.board_gaps(3) == lost[3:]
        assert ring.board_gaps(5) == []
        assert ring.board_gaps_beyond(lost[2].span.start + 1) == lost[2:]
        assert ring.board_gaps_beyond(lost[2].span.stop) == lost[3:]
        assert ring.board_gaps_beyond(0) == lost
        assert ring.board_gaps_beyond(lost[4].span.stop) == []


@pytest.mark.parametrize("meanwhile", [1, 3, 2 * ENTRIES])
@pytest.mark.parametrize("before", [2, ENTRIES - 1, ENTRIES + 3])
def test_gaps_that_are_logged_over_while_somebody_reads_are_left_out_and_none_is_torn(
    before: int, meanwhile: int
) -> None:
    for beyond, step in itertools.product([False, True], range(3 * ENTRIES)):
        with ring_of() as ring:
            feed = Feed(ring)
            lost = losses(feed, before)
            with ring.steps.interrupted(step, losses, feed, meanwhile):
                found = ring.board_gaps_beyond(0) if beyond else ring.board_gaps()
            everything = lost + (ring.steps.answer or [])
            assert found == [gap for gap in everything if gap in found], "in order, each as it was logged"
            still_there = everything[-ENTRIES + 1 :]
            assert [gap for gap in lost if gap in still_there] == [gap for gap in lost if gap in found]


def test_a_full_log_counts_all_lost_samples_although_it_forgets_where_they_were() -> None:
    with ring_of() as ring:
        losses(Feed(ring), 5 * ENTRIES)
        assert _status_counts(ring) == (5 * ENTRIES, 4 * 5 * ENTRIES)


def _status_counts(ring: Ring) -> tuple[int, int]:
    status = ring.status()
    return status.gaps, status.overrun_samples
