"""Both ends of a link, by the words of the protocol and nothing else: credit, order, silence, sessions."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dtopipe.core.link import FOLLOWER_SILENCE_NS, SOURCE_SILENCE_NS, SPEAK_EVERY_NS, FollowingEnd, ServingEnd, Step
from dtopipe.model.errors import WireError

SECOND = 1_000_000_000


def following(window: int = 8) -> FollowingEnd:
    end = FollowingEnd()
    end.window = window
    end.renew(0)
    end.ask(0)
    return end


def step(end: FollowingEnd, now_ns: int, *, cut: bool = False, waits: bool = False, connected: bool = True) -> Step:
    return end.next_step(now_ns, is_connected=connected, was_cut=cut, is_told_to_wait=waits)


def test_what_belongs_to_an_older_session_is_not_heard() -> None:
    end = following()
    assert end.ask(5) == 2
    assert not end.hears(1, 9)
    assert end.heard_ns == 5
    assert end.hears(2, 9)
    assert end.heard_ns == 9


def test_items_come_in_order_or_not_at_all() -> None:
    end = following()
    end.in_order(0)
    end.came(3)
    with pytest.raises(WireError, match="item 3 was to come, and not 4"):
        end.in_order(4)
    with pytest.raises(WireError, match="item 3 was to come, and not 2"):
        end.in_order(2)
    end.in_order(3)
    end.ask(1)
    end.in_order(0)


def test_credit_is_given_at_a_quarter_of_the_window_and_twice_a_second() -> None:
    end = following(window=8)
    for _ in range(2):
        end.consume()
    assert not end.credit_due(0)
    end.consume()
    assert end.credit_due(0)
    assert not end.credit_due(SPEAK_EVERY_NS)
    assert end.credit_due(SPEAK_EVERY_NS + 1)


def test_a_cut_connection_is_made_anew_four_times_a_second_and_a_silent_one_after_three() -> None:
    end = following()
    assert step(end, SECOND // 4, cut=True) is Step.WAIT
    assert step(end, SECOND // 4 + 1, cut=True) is Step.RENEW_CUT
    assert step(end, SOURCE_SILENCE_NS) is Step.WAIT
    assert step(end, SOURCE_SILENCE_NS + 1) is Step.RENEW_SILENT
    end.hears(1, SECOND)
    assert step(end, SOURCE_SILENCE_NS + 1) is Step.WAIT


def test_a_follower_that_is_told_to_wait_asks_again_each_second_while_it_is_connected() -> None:
    end = following()
    assert step(end, SECOND, waits=True) is Step.WAIT
    assert step(end, SECOND + 1, waits=True) is Step.ASK
    assert step(end, SECOND + 1, waits=True, connected=False) is Step.WAIT
    assert step(end, SECOND + 1) is Step.WAIT


def test_five_malformed_messages_in_a_row_are_too_many() -> None:
    end = following()
    assert [end.spoilt() for _ in range(4)] == [False] * 4
    end.came(1)
    assert [end.spoilt() for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize("taken", [-1, 3, 10**12])
def test_nothing_is_taken_that_was_not_sent(taken: int) -> None:
    end = ServingEnd(0)
    end.open(1, 8, 0, 0)
    end.send(2, 20, 0)
    with pytest.raises(WireError):
        end.credit(taken, 0, 5)
    assert end.heard_ns == 0
    end.credit(2, 0, 5)
    with pytest.raises(WireError):
        end.credit(1, 0, 6)


def test_the_window_is_the_smaller_of_both() -> None:
    end = ServingEnd(0)
    end.open(1, 8, 0, 0)
    assert (end.room(4096), end.room(3)) == (8, 3)
    end.send(3, 30, 0)
    assert (end.room(4096), end.room(3), end.room(1)) == (5, 0, 0)
    end.credit(2, 0, 1)
    assert end.room(3) == 2
    end.open(2, 0, 0, 2)
    assert not end.takes_samples
    assert end.room(4096) == 0


def test_a_follower_is_away_after_ten_seconds_of_silence() -> None:
    end = ServingEnd(0)
    assert not end.is_away(FOLLOWER_SILENCE_NS)
    assert end.is_away(FOLLOWER_SILENCE_NS + 1)
    end.open(1, 8, 0, 7)
    assert not end.is_away(FOLLOWER_SILENCE_NS + 1)


def test_only_new_samples_or_durable_ones_are_progress() -> None:
    end = ServingEnd(0)
    for session in range(1, 5):
        end.open(session, 8, 0, session)
        end.begin(0)
        end.send(2, 20, session)
        end.credit(2, 0, session)
    assert (end.progress_ns, end.heard_ns) == (1, 4)
    end.credit(2, 15, 9)
    assert end.progress_ns == 9
    # More than it was ever sent is none.
    end.credit(2, 20, 10)
    end.credit(2, 10**6, 11)
    assert end.progress_ns == 10


def test_it_says_that_it_is_there_when_nothing_else_was_said() -> None:
    end = ServingEnd(0)
    end.speaks(SECOND)
    assert not end.is_to_speak(SECOND + SPEAK_EVERY_NS)
    assert end.is_to_speak(SECOND + SPEAK_EVERY_NS + 1)
    assert not end.is_to_speak(SECOND + SPEAK_EVERY_NS + 2)


class JoinedEnds(RuleBasedStateMachine):
    """Both ends, and between them a line that delays, loses, is cut, and keeps what is of an older session."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.ours, self.theirs = FollowingEnd(), ServingEnd(0)
        self.ours.window = 4
        # What the follower has, as sample indices, each item one sample; what is in its hands and not yet taken on.
        self.has: list[int] = []
        self.hands: list[int] = []
        # Either way, oldest first.
        self.up: list[tuple[str, int, int]] = []
        self.down: list[tuple[int, int, list[int]]] = []
        self.next_sample = 0
        self.ask()

    def ask(self) -> None:
        self.hands.clear()
        self.up.append(("pull", self.ours.ask(self.now_ns), len(self.has)))

    @rule(passed_ns=st.integers(1, 4 * SECOND))
    def time_passes(self, passed_ns: int) -> None:
        self.now_ns += passed_ns

    @precondition(lambda self: self.up)
    @rule()
    def the_source_hears(self) -> None:
        kind, session, number = self.up.pop(0)
        if kind == "pull":
            self.theirs.open(session, self.ours.window, number, self.now_ns)
            self.theirs.begin(number)
            self.next_sample = number
        elif session == self.theirs.session:
            self.theirs.credit(number, 0, self.now_ns)

    @rule(most=st.integers(1, 6))
    def the_source_sends(self, most: int) -> None:
        n = min(most, self.theirs.room(4096)) if self.theirs.session else 0
        if n:
            samples = list(range(self.next_sample, self.next_sample + n))
            self.next_sample += n
            self.down.append((self.theirs.session, self.theirs.send(n, self.next_sample, self.now_ns), samples))

    @precondition(lambda self: self.down)
    @rule()
    def the_follower_hears(self) -> None:
        session, first, samples = self.down.pop(0)
        if not self.ours.hears(session, self.now_ns):
            return
        try:
            self.ours.in_order(first)
        except WireError:
            self.ours.spoilt()
            self.ask()
            return
        self.ours.came(len(samples))
        self.hands += samples

    @precondition(lambda self: self.hands)
    @rule()
    def the_follower_takes_on(self) -> None:
        self.has.append(self.hands.pop(0))
        self.ours.consume()

    @rule()
    def the_follower_speaks(self) -> None:
        if self.ours.credit_due(self.now_ns):
            self.up.append(("credit", self.ours.session, self.ours.consumed))

    @rule(cut=st.booleans())
    def the_follower_looks(self, cut: bool) -> None:
        if step(self.ours, self.now_ns, cut=cut) in (Step.RENEW_CUT, Step.RENEW_SILENT):
            self.ours.renew(self.now_ns)
            self.ask()

    @precondition(lambda self: self.down)
    @rule(data=st.data())
    def something_is_lost_on_its_way_down(self, data: st.DataObject) -> None:
        del self.down[data.draw(st.integers(0, len(self.down) - 1))]

    @precondition(lambda self: self.up)
    @rule(data=st.data())
    def something_is_lost_on_its_way_up(self, data: st.DataObject) -> None:
        del self.up[data.draw(st.integers(0, len(self.up) - 1))]

    @invariant()
    def each_sample_came_once_and_in_order(self) -> None:
        assert self.has == list(range(len(self.has)))

    @invariant()
    def no_more_is_on_its_way_than_there_was_credit_for(self) -> None:
        session = self.theirs.session
        on_their_way = sum(len(samples) for of, _, samples in self.down if of == session)
        in_hands = len(self.hands) if session == self.ours.session else 0
        assert on_their_way + in_hands <= self.ours.window

    def teardown(self) -> None:
        """Whatever was lost: once the line holds, everything comes."""
        before = len(self.has)
        for _ in range(30):
            self.now_ns += SECOND
            self.the_follower_looks(cut=False)
            while self.up:
                self.the_source_hears()
            self.the_source_sends(6)
            while self.down:
                self.the_follower_hears()
            while self.hands:
                self.the_follower_takes_on()
            self.the_follower_speaks()
            self.each_sample_came_once_and_in_order()
        assert len(self.has) > before + 30


TestJoinedEnds = JoinedEnds.TestCase
TestJoinedEnds.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
