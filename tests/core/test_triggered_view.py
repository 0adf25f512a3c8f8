"""The view of a triggered sink: its channels alone, and what a successor is told again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dtopipe.core.triggered_view import TriggeredView
from dtopipe.model.columns import Columns
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.span import Cause, Gap, as_one
from dtopipe.model.stream import Block
from dtopipe.model.view import View
from dtopipe.testing.recordings import ANCHOR, gap, recorded

STREAM = recorded(("other", "level"), kind="raw")
# Of 1 kHz.
PLAN = TriggerPlan("level > 0 for 2ms", 0.004, 0.010)


def block(start: int, stop: int, high: range = range(0)) -> Block:
    index = np.arange(start, stop)
    level = np.isin(index, high).astype(np.int16)
    return Block(start, start, np.stack([index.astype(np.int16), level]), ANCHOR)


def view(at: int, known: Sequence[Gap] = (), every: int = 1) -> TriggeredView:
    columns = Columns(STREAM, ["other"], as_codes=True)
    return TriggeredView(View(columns, every, "first"), PLAN, STREAM, at, known)


def spans(items: Sequence[Block | Gap]) -> list[tuple[int, int, Cause | None]]:
    return [(each.span.start, each.span.stop, each.cause if isinstance(each, Gap) else None) for each in as_one(items)]


def test_what_it_gives_has_the_channels_of_the_output() -> None:
    seen = view(0)
    assert (seen.waits, seen.held_from) == (True, None)
    found = seen.of([block(0, 20, range(8, 12))])
    assert [channel.name for channel in seen.stream.channels] == ["other"]
    assert spans(found) == [(0, 6, Cause.NOT_TRIGGERED), (6, 20, None)]
    assert isinstance(found[1], Block)
    assert found[1].codes.tolist() == [list(range(6, 20))]
    assert (seen.waits, seen.held_from) == (False, None)
    assert spans(seen.of([block(20, 40)])) == [(20, 22, None), (22, 36, Cause.NOT_TRIGGERED)]
    assert (seen.waits, seen.held_from) == (True, 36)
    assert spans(seen.rest()) == [(36, 40, Cause.NOT_TRIGGERED)]


def test_rows_of_a_view_are_made_of_what_is_around_events() -> None:
    found = view(0, every=4).of([block(0, 22, range(8, 12)), block(22, 40)])
    assert [each for each in spans(found) if each[2]] == [(0, 6, Cause.NOT_TRIGGERED), (22, 36, Cause.NOT_TRIGGERED)]
    rows = [each.codes[0].tolist() for each in found if isinstance(each, Block)]
    assert np.concatenate(rows).tolist() == [6, 8, 12, 16, 20]


def test_a_successor_knows_nothing_of_what_the_output_lacks_though_it_is_there_now() -> None:
    # The event was in samples that its predecessor had dropped.
    lacks = [gap(STREAM, 8, 12, Cause.POLICY_DROP)]
    told = [block(0, 20, range(8, 12)), block(20, 40)]
    assert spans(view(15, lacks).of(told)) == [(15, 36, Cause.NOT_TRIGGERED)]
    assert spans(view(15).of(told))[0] == (15, 20, None), "an event of the lookback still goes on"


def test_what_a_successor_cannot_look_back_on_is_said_by_a_sample() -> None:
    absent = gap(STREAM, 0, 10, Cause.WORKER_FAILED)
    # Nothing in the output says so: whoever verifies has to see that nobody knew.
    found = view(15).of([absent, block(10, 20), block(20, 40, range(25, 30))])
    assert spans(found)[:2] == [(15, 16, Cause.WORKER_FAILED), (16, 23, Cause.NOT_TRIGGERED)]
    # It stands in the output already.
    found = view(15, [absent]).of([absent, block(10, 20), block(20, 40)])
    assert spans(found) == [(15, 36, Cause.NOT_TRIGGERED)]
    # The hole reaches on: it says it itself.
    found = view(15).of([gap(STREAM, 0, 18, Cause.WORKER_FAILED), block(18, 40)])
    assert spans(found)[0] == (15, 18, Cause.WORKER_FAILED)
