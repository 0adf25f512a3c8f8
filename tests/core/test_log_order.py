"""The order of messages in a log: each sample once, whatever came twice, late or never."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.log_order import Entry, LogOrder
from dtopipe.model.span import Span


def entry(start: int, stop: int, whole_to: int = 0) -> Entry[str]:
    return Entry(Span(start, stop), whole_to, f"{start}-{stop}")


def given_by(order: LogOrder[str], entries: Sequence[Entry[str]]) -> list[Span | str]:
    return [step if isinstance(step, Span) else step.message for each in entries for step in order.came(each)]


def test_what_comes_too_early_waits_for_what_is_before_it() -> None:
    order: LogOrder[str] = LogOrder(0)
    assert given_by(order, [entry(20, 30), entry(10, 20)]) == []
    assert order.n_held == 2
    assert given_by(order, [entry(0, 10)]) == ["0-10", "10-20", "20-30"]
    assert (order.at, order.n_held) == (30, 0)


def test_what_comes_twice_is_taken_once() -> None:
    order: LogOrder[str] = LogOrder(5)
    assert given_by(order, [entry(0, 10), entry(0, 10), entry(0, 5), entry(5, 15)]) == ["0-10", "5-15"]
    assert order.at == 15


def test_what_was_there_for_certain_and_has_not_come_is_a_hole() -> None:
    order: LogOrder[str] = LogOrder(0)
    assert given_by(order, [entry(30, 40, whole_to=20)]) == [Span(0, 20)]
    assert given_by(order, [entry(50, 60, whole_to=40)]) == [Span(20, 30), "30-40"]
    assert list(order.whole(70)) == [Span(40, 50), entry(50, 60, whole_to=40), Span(60, 70)]
    assert order.at == 70


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 8))
def test_however_messages_are_shuffled_and_doubled_each_sample_is_given_once_in_order(
    seed: int, n: int, window: int
) -> None:
    dice = random.Random(seed)
    cuts = sorted({0, *(dice.randrange(1, 1000) for _ in range(n)), 1000})
    whole = [entry(*each) for each in pairwise(cuts)]
    # As a sender does it: no message before those are acknowledged that are a window before it.
    sent = []
    for at in range(0, len(whole), window):
        part = whole[at : at + window] + dice.choices(whole[: at + window], k=2)
        dice.shuffle(part)
        sent += [Entry(each.span, whole[at].span.start, each.message) for each in part]
    order: LogOrder[str] = LogOrder(0)
    assert given_by(order, sent) == [each.message for each in whole]
    assert (order.at, order.n_held) == (1000, 0)
