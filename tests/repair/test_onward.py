"""Going through the batches of an output for one span after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dtopipe.repair.onward import Onward


class Output:
    """An output of these batches of indices, which counts how many of them were read."""

    def __init__(self, *batches: range) -> None:
        self.batches = batches
        self.n_read = 0

    def read(self) -> Iterator[range]:
        for batch in self.batches:
            self.n_read += 1
            yield batch


def found(onward: Onward[range], *samples: int) -> list[range]:
    """The batch of each of these samples, asked for one after the other."""
    return [next(batch for batch in onward.batches() if sample in batch) for sample in samples]


def test_many_spans_of_an_output_in_order_are_one_reading() -> None:
    output = Output(*(range(n, n + 10) for n in range(0, 100, 10)))
    assert found(Onward(output.read), *range(0, 100, 3)) == [
        range(n // 10 * 10, n // 10 * 10 + 10) for n in range(0, 100, 3)
    ]
    assert output.n_read == 10


def test_what_has_gone_by_is_read_again() -> None:
    onward = Onward(Output(range(10, 20), range(10), range(20, 30)).read)
    assert found(onward, 5, 15, 25, 5) == [range(10), range(10, 20), range(20, 30), range(10)]


def test_what_is_not_there_is_looked_for_once() -> None:
    output = Output(range(10), range(20, 30))
    onward = Onward(output.read)
    assert found(onward, 25)
    with pytest.raises(StopIteration):
        found(onward, 15)
    assert output.n_read == 4


def test_what_is_released_is_closed_and_begins_anew() -> None:
    closed = []

    def read() -> Iterator[range]:
        try:
            yield from (range(10), range(10, 20))
        finally:
            closed.append(True)

    onward = Onward(read)
    assert found(onward, 5)
    onward.release()
    assert closed == [True]
    assert next(onward.batches()) == range(10)
    onward.release()
    onward.release()
    assert closed == [True, True]
