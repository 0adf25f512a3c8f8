"""Who limits a run: each way in which one can, and what holds for any load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.limiting import BoardLoad, How, Limited, Limiter, SinkLoad, busiest, limiting

IDLE = BoardLoad(busy={"publish": 0.01})
QUICK = SinkLoad("quick", {"write": 0.1})
BEHIND = SinkLoad("behind", {"convert": 0.2, "commit": 0.7}, lag_s=9.0)
SECOND_NS = 1_000_000_000


def test_a_run_that_keeps_up_is_limited_by_nobody() -> None:
    assert limiting(IDLE, [QUICK]) is None
    assert limiting(IDLE, []) is None
    assert limiting(IDLE, [QUICK], processor=1.0) is None


def test_a_board_of_which_nothing_comes_limits_the_run_whoever_is_behind() -> None:
    board = BoardLoad(trouble="unplugged", call="read")
    assert limiting(board, [BEHIND]) == Limiter("board", "read", How.BOARD, "unplugged")


def test_the_sink_that_holds_the_ring_limits_the_run_in_the_call_that_takes_its_time() -> None:
    holder = SinkLoad("slow", {"write": 0.3, "sync": 0.6}, lag_s=1.0, holds=True)
    board = BoardLoad(waits=0.5, overruns=1000)
    assert limiting(board, [BEHIND, holder]) == Limiter("slow", "sync", How.HOLDS)


def test_who_held_the_ring_for_an_instant_is_not_to_blame() -> None:
    assert limiting(BoardLoad(waits=0.01), [SinkLoad("one", {"write": 0.5}, holds=True)]) is None


def test_a_covered_sink_that_lags_limits_the_run_unless_it_catches_up() -> None:
    assert limiting(IDLE, [QUICK, BEHIND]) == Limiter("behind", "commit", How.LAGS)
    assert limiting(IDLE, [SinkLoad("behind", {"commit": 1.0}, lag_s=9.0, gains=True)]) is None
    assert limiting(IDLE, [SinkLoad("behind", {"commit": 1.0}, lag_s=1.9)]) is None


def test_a_sink_that_stands_is_named_with_the_call_in_which_it_stands() -> None:
    stands = SinkLoad("stopped", {"write": 0.9}, call="commit", trouble="stopped in commit")
    assert limiting(IDLE, [QUICK, stands]) == Limiter("stopped", "commit", How.LAGS, "stopped in commit")


def test_a_board_that_overruns_while_no_sink_holds_it_is_read_too_slowly() -> None:
    board = BoardLoad(busy={"read": 0.3, "publish": 0.6}, overruns=10)
    assert limiting(board, [QUICK]) == Limiter("acquirer", "publish", How.OVERRUNS)


def test_a_sink_that_drops_is_named_once_nothing_worse_is() -> None:
    drops = SinkLoad("view", {"convert": 0.9}, is_block=False, lag_s=9.0, drops=5)
    assert limiting(IDLE, [drops, QUICK]) == Limiter("view", "convert", How.DROPS)
    assert limiting(IDLE, [drops, BEHIND]) == Limiter("behind", "commit", How.LAGS)


def test_a_board_that_can_wait_and_is_waited_for_by_nobody_limits_the_run() -> None:
    busy = {"read": 0.7, "publish": 0.2}
    assert limiting(BoardLoad(busy=busy, can_wait=True), [QUICK]) == Limiter("acquirer", "read", How.SOURCE)
    assert limiting(BoardLoad(busy=busy), [QUICK]) is None
    # One that plays at its own pace, or follows a run in progress, has nothing to give yet.
    assert limiting(BoardLoad(busy={"read": 0.1}, can_wait=True), [QUICK]) is None


def test_the_processor_limits_a_run_that_uses_all_of_it() -> None:
    found = limiting(IDLE, [BEHIND], processor=0.95)
    assert found == Limiter("processor", "commit", How.PROCESSOR, slowest="behind")
    stands = SinkLoad("stopped", call="write", trouble="stopped in write", lag_s=10.0)
    assert limiting(IDLE, [stands], processor=0.95) == Limiter("stopped", "write", How.LAGS, "stopped in write")


def test_the_end_waits_for_the_sink_that_is_furthest_behind() -> None:
    over = SinkLoad("over", lag_s=99.0, is_over=True)
    gains = SinkLoad("gains", {"write": 1.0}, lag_s=9.0, gains=True)
    assert limiting(IDLE, [over, QUICK, gains], drains=True) == Limiter("gains", "write", How.DRAINS)
    assert limiting(IDLE, [over], drains=True) is None


def test_an_answer_that_comes_and_goes_is_not_told() -> None:
    limited, one = Limited(), Limiter("one", "write", How.LAGS)
    for turn, seen in enumerate([None, one, None, one, None]):
        limited.saw(seen, turn * SECOND_NS // 2)
    assert limited.now is None
    assert limited.shares == []


def test_an_answer_holds_since_it_was_first_seen_and_is_kept_for_the_record() -> None:
    limited = Limited()
    one, other = Limiter("one", "write", How.LAGS), Limiter("other", "commit", How.HOLDS)
    for turn in range(1, 12):
        limited.saw(one if turn < 6 else other, turn * SECOND_NS)
    assert limited.now == (other, 6 * SECOND_NS)
    first, last = limited.shares
    assert (first.limiter, first.since_ns, first.until_ns) == (one, SECOND_NS, 6 * SECOND_NS)
    assert (last.limiter, last.since_ns, last.until_ns) == (other, 6 * SECOND_NS, 11 * SECOND_NS)
    # The same one in another call is the same one.
    limited.saw(Limiter("other", "sync", How.HOLDS), 12 * SECOND_NS)
    assert limited.now == (Limiter("other", "sync", How.HOLDS), 6 * SECOND_NS)


SHARES = st.dictionaries(st.sampled_from(["read", "convert", "write", "commit", "sync", "network"]), st.floats(0, 1))
SINKS = st.lists(
    st.builds(
        SinkLoad, name=st.sampled_from("abcd"), busy=SHARES, call=st.just("close"), is_block=st.booleans(),
        lag_s=st.floats(0, 100), gains=st.booleans(), holds=st.booleans(), drops=st.integers(0, 9),
        trouble=st.sampled_from(["", "away"]), is_over=st.booleans(),
    ),
    max_size=4, unique_by=lambda sink: sink.name,
)  # fmt: skip
BOARDS = st.builds(
    BoardLoad, busy=SHARES, waits=st.floats(0, 1), trouble=st.sampled_from(["", "away"]), call=st.just("read"),
    can_wait=st.booleans(), overruns=st.integers(0, 9),
)  # fmt: skip


@given(BOARDS, SINKS, st.floats(0, 1), st.booleans())
def test_only_what_is_there_and_not_over_is_named(
    board: BoardLoad, sinks: list[SinkLoad], processor: float, drains: bool
) -> None:
    found = limiting(board, sinks, processor=processor, drains=drains)
    living = {sink.name: sink for sink in sinks if not sink.is_over}
    if found is None:
        blocked = [sink for sink in living.values() if sink.is_block and sink.trouble]
        assert not drains or not living
        assert drains or not (board.trouble or board.overruns or blocked)
        return
    assert found.process in {"board", "acquirer", "processor", *living}
    if found.process in living:
        sink = living[found.process]
        assert found.trouble == sink.trouble
        assert found.call == (sink.call if sink.trouble or not sink.busy else busiest(sink.busy))


@given(SINKS, st.integers(0, 3))
def test_who_is_over_changes_no_answer(sinks: list[SinkLoad], n_over: int) -> None:
    over = [SinkLoad(f"over{number}", lag_s=1000.0, holds=True, is_over=True) for number in range(n_over)]
    assert limiting(BoardLoad(waits=1.0), [*sinks, *over]) == limiting(BoardLoad(waits=1.0), sinks)


@pytest.mark.parametrize("busy", [{}, {"write": 0.0}, {"write": 0.5, "commit": 0.5}])
def test_the_busiest_call_is_always_the_same_one(busy: dict[str, float]) -> None:
    assert busiest(busy) == busiest(dict(reversed(list(busy.items()))))
