"""Goes through the batches of an output onward, so that many spans of it cost one reading."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Onward(Generic[T]):
    """The batches of one output, for who asks for one span after the other. One caller at a time."""

    def __init__(self, read: Callable[[], Iterator[T]]) -> None:
        """`read`: begins at the output's first batch."""
        self._read = read
        self._reading: Generator[T, None, None] | None = None
        self._held: list[T] = []

    def batches(self) -> Iterator[T]:
        """The batch at which the last caller left off and those behind it, and then all of them once more.

        So an output in order is read once; one whose index goes back is looked through for each span, as it must be.
        """
        yield from self._held
        if self._reading is not None:
            yield from self._rest(self._reading)
        self._reading = self._once()
        yield from self._rest(self._reading)

    def release(self) -> None:
        """Close what is open; who asks next begins at the first batch."""
        if self._reading is not None:
            self._reading.close()
        self._reading, self._held = None, []

    def _once(self) -> Generator[T, None, None]:
        yield from self._read()

    def _rest(self, reading: Iterator[T]) -> Iterator[T]:
        for batch in reading:
            self._held = [batch]
            yield batch
