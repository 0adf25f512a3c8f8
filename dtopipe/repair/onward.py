"""Goes through the batches of an output onward, so that many spans of it cost one reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Onward(Generic[T]):
    """The batches of one output, for who asks for one span after the other. One caller at a time."""

    def __init__(self, read: Callable[[], Iterator[T]]) -> None:
        """`read`: begins at the output's first batch."""
        self._read = read
        self._batches: Iterator[T] = iter(())
        self._held: list[T] = []

    def batches(self) -> Iterator[T]:
        """The batch at which the last caller left off and those behind it, and then all of them once more.

        So an output in order is read once; one whose index goes back is looked through for each span, as it must be.
        """
        yield from self._held
        yield from self._rest()
        self._batches = self._read()
        yield from self._rest()

    def _rest(self) -> Iterator[T]:
        for batch in self._batches:
            self._held = [batch]
            yield batch
