"""How much is heard in one turn: who says too much keeps nobody from their work, and nothing said is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

M = TypeVar("M")


def incoming(
    receive: Callable[[float], M | None], wait_s: float, most: int, longest_ns: int, clock: Callable[[], int]
) -> Iterator[M]:
    """What is there, or comes within `wait_s`: at most `most` messages, and none after `longest_ns` since the first.

    `receive` takes the next message, waiting so many seconds for it; None if there is none. `clock` tells the time in
    nanoseconds, as `mono_ns` does. A message is taken only
    when it is given on: what is not heard in this turn waits where it is for the next.
    """
    until_ns: int | None = None
    for _ in range(most):
        received = receive(0.0 if until_ns is not None else wait_s)
        if received is None:
            return
        until_ns = clock() + longest_ns if until_ns is None else until_ns
        yield received
        if clock() > until_ns:
            return
