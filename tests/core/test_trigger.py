"""What a triggered output has: the same however its input is cut into blocks, and gone on with anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.trigger import FORGETTING, Trigger, Window, overlaid
from dtopipe.model.condition import condition_of
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.testing.recordings import ANCHOR, gap, recorded

STREAM = recorded(("level",), kind="raw")
CONDITION = condition_of("level > 0")
# A sample at which the condition holds, one at which it does not, or why it is absent.
Sample = bool | Cause
ABSENT = [Cause.BOARD_OVERRUN, Cause.POLICY_DROP, Cause.WORKER_FAILED]
WINDOWS = st.builds(Window, for_samples=st.integers(0, 4), pre=st.integers(0, 9), post=st.integers(0, 9))
RUNS = st.lists(
    st.tuples(st.sampled_from([True, False, False, *ABSENT]), st.integers(1, 12)), min_size=1, max_size=12
).map(lambda runs: [sample for sample, n in runs for _ in range(n)])
CUTS = st.sets(st.integers(1, 144))


@dataclass
class Given:
    """What came out: for each sample index the code, or the cause of its absence; and where events began."""

    samples: dict[int, int | Cause]
    events: list[int]


def items_of(samples: Sequence[Sample], cuts: set[int], first: int = 0) -> list[Block | Gap]:
    found: list[Block | Gap] = []
    at = 0
    for key, group in groupby(enumerate(samples), lambda each: each[1] if isinstance(each[1], Cause) else None):
        stop = at + len(list(group))
        bounds = [at, *sorted(cut for cut in cuts if at < cut < stop), stop]
        for start, end in pairwise(bounds):
            if key is not None:
                found.append(gap(STREAM, first + start, first + end, key))
            else:
                codes = np.array([[1 if samples[i] is True else -1 - i % 3 for i in range(start, end)]], np.int16)
                found.append(Block(start, first + start, codes, ANCHOR))
        at = stop
    return found


def told(items: Sequence[Block | Gap], window: Window, at: int, *, ends: bool = True) -> Given:
    trigger = Trigger(CONDITION, window, STREAM, at)
    found = Given({}, [])
    next_index = at
    for item in items:
        out = trigger.of([item])
        held_from = trigger.held_from
        for each in out:
            next_index = _noted(found, each, next_index)
        assert held_from is None or held_from == next_index
        assert item.span.stop - next_index <= window.pre or item.span.stop <= at
        found.events += [event.sample_index for event in trigger.events()]
    for each in trigger.rest() if ends else ():
        next_index = _noted(found, each, next_index)
    assert trigger.held_from is None or not ends
    return found


def _noted(found: Given, item: Block | Gap, next_index: int) -> int:
    assert item.span.start == next_index
    assert item.span
    if isinstance(item, Gap):
        assert item == gap(STREAM, item.span.start, item.span.stop, item.cause)
        found.samples |= dict.fromkeys(range(item.span.start, item.span.stop), item.cause)
    else:
        found.samples |= dict(zip(range(item.span.start, item.span.stop), item.codes[0].tolist(), strict=True))
    return item.span.stop


def one_by_one(samples: Sequence[Sample], window: Window) -> Given:
    """The same, as the guide says it."""
    counting, since = [], None
    for index, sample in enumerate(samples):
        since = (index if since is None else since) if sample is True else None
        counting.append(since is not None and index - since >= window.for_samples)
    found = Given({}, [])
    last: int | None = None
    for index, sample in enumerate(samples):
        if isinstance(sample, Cause):
            found.samples[index] = sample
            last = None if sample in FORGETTING else last
            continue
        if counting[index]:
            if last is None or index > last + window.post + 1:
                found.events.append(index)
            last = index
        ahead = []
        for later in range(index, min(len(samples), index + window.pre + 1)):
            if samples[later] in FORGETTING:
                break
            ahead.append(counting[later])
        is_kept = any(ahead) or (last is not None and index <= last + window.post)
        found.samples[index] = (1 if sample is True else -1 - index % 3) if is_kept else Cause.NOT_TRIGGERED
    return found


@given(RUNS, WINDOWS, CUTS)
def test_it_keeps_what_is_around_events_however_samples_are_cut(
    samples: list[Sample], window: Window, cuts: set[int]
) -> None:
    assert told(items_of(samples, cuts), window, 0) == one_by_one(samples, window)


@given(RUNS, WINDOWS, CUTS, st.integers(0, 144))
def test_a_successor_that_is_told_the_lookback_goes_on_as_its_predecessor_would_have(
    samples: list[Sample], window: Window, cuts: set[int], at: int
) -> None:
    at = min(at, len(samples))
    begin = max(0, at - window.lookback)
    found = told(items_of(samples[begin:], cuts, begin), window, at)
    whole = one_by_one(samples, window)
    shifted = {index: each for index, each in whole.samples.items() if index >= at}
    codes = {i: Cause.NOT_TRIGGERED if each is Cause.NOT_TRIGGERED else each for i, each in shifted.items()}
    assert {i: _sign(each) for i, each in found.samples.items()} == {i: _sign(each) for i, each in codes.items()}
    assert found.events == [index for index in whole.events if index >= at]


def _sign(sample: int | Cause) -> bool | Cause:
    return sample if isinstance(sample, Cause) else sample > 0


def test_an_event_says_when_it_began_and_what_its_channels_were() -> None:
    stream = recorded(("level", "other"), kind="raw")
    trigger = Trigger(condition_of("level > 3 and not other > 100 for 2ms"), Window(2, 1, 0), stream, 0)
    codes = np.array([[0, 4, 5, 6, 7, 0], [1, 2, 3, 4, 5, 6]], np.int16)
    out = trigger.of([Block(0, 0, codes, ANCHOR)])
    assert [(each.span, isinstance(each, Gap)) for each in out] == [(Span(0, 2), True), (Span(2, 5), False)]
    (event,) = trigger.events()
    assert (event.sample_index, event.values) == (3, {"level": 6.0, "other": 4.0})
    assert event.t_utc_ns == ANCHOR.t_utc_ns + 3_000_000
    assert [each.span for each in trigger.rest()] == [Span(5, 6)]


def test_what_waits_for_an_event_is_held_though_its_slot_is_taken_back() -> None:
    slot = np.full((1, 10), -1, np.int16)
    codes = slot[:]
    codes.flags.writeable = False
    trigger = Trigger(CONDITION, Window(0, 10, 0), STREAM, 0)
    assert trigger.of([Block(0, 0, codes, ANCHOR)]) == []
    slot[:] = 7
    kept = [each for each in trigger.of([Block(1, 10, np.ones((1, 5), np.int16), ANCHOR)]) if isinstance(each, Block)]
    assert np.concatenate([each.codes[0] for each in kept]).tolist() == [-1] * 10 + [1] * 5


def test_what_an_output_lacks_itself_takes_the_place_of_samples() -> None:
    items = [*items_of([True] * 4, {2}), gap(STREAM, 4, 8)]
    lacks = [gap(STREAM, 1, 3, Cause.WORKER_FAILED), gap(STREAM, 6, 20, Cause.STALLED)]
    laid = list(overlaid(items, lacks, STREAM.clock))
    found = [(each.span, each.cause if isinstance(each, Gap) else None) for each in laid]
    assert found == [
        (Span(0, 1), None),
        (Span(1, 2), Cause.WORKER_FAILED),
        (Span(2, 3), Cause.WORKER_FAILED),
        (Span(3, 4), None),
        (Span(4, 6), Cause.BOARD_OVERRUN),
        (Span(6, 8), Cause.STALLED),
    ]
    gaps = [each for each in laid if isinstance(each, Gap)]
    assert gaps == [gap(STREAM, each.span.start, each.span.stop, each.cause) for each in gaps]
