"""How much is heard in one turn."""

from __future__ import annotations

from collections import deque

import pytest

from dtopipe.core.incoming import incoming


class Speakers:
    """What they say, one after the other; each wait that was asked for is noted."""

    def __init__(self, n_messages: int) -> None:
        self.unheard = deque(range(n_messages))
        self.waits: list[float] = []

    def receive(self, wait_s: float) -> int | None:
        self.waits.append(wait_s)
        return self.unheard.popleft() if self.unheard else None


class SlowClock:
    """A clock that stands, but for what hearing takes."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.mark.parametrize("hearing_ns", [0, 1, 60, 100, 101, 250, 10_000])
@pytest.mark.parametrize("most", [1, 2, 3, 10])
def test_however_long_hearing_takes_every_message_is_heard_once_and_in_order(most: int, hearing_ns: int) -> None:
    speakers, clock, heard = Speakers(25), SlowClock(), []
    turns = 0
    while speakers.unheard:
        turns += 1
        for message in incoming(speakers.receive, 0.05, most, 100, clock):
            heard.append(message)
            clock.now_ns += hearing_ns
    assert heard == list(range(25))
    assert turns == -(-25 // min(most, 100 // hearing_ns + 1 if hearing_ns else most))


def test_only_the_first_message_is_waited_for() -> None:
    speakers = Speakers(2)
    assert list(incoming(speakers.receive, 0.05, 10, 100, SlowClock())) == [0, 1]
    assert speakers.waits == [0.05, 0.0, 0.0]


def test_who_stops_listening_has_taken_no_message_too_many() -> None:
    speakers = Speakers(5)
    for message in incoming(speakers.receive, 0.0, 10, 100, SlowClock()):
        if message == 1:
            break
    assert list(speakers.unheard) == [2, 3, 4]
