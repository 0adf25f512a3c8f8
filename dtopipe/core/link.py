"""The rules of a link between two machines, both ends: sessions, order, credit and silence.

Neither end knows sockets, messages or clocks: times come in as `now_ns`, what is to be done comes out. The following
end asks for the stream behind what it has, and each time it asks is a session of its own: whatever belongs to an
older one is thrown away by both ends, so that nothing comes twice and nothing is passed over. Within a session items
are numbered from 0; the serving end sends as many ahead as it was given credit for.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from dtopipe.model.errors import WireError

# The serving end speaks twice a second; a follower that has heard nothing for so long asks anew, by a new connection.
SOURCE_SILENCE_NS = 3_000_000_000
# The follower speaks twice a second too; one that is silent for so long is away, and costs nothing until it is back.
FOLLOWER_SILENCE_NS = 10_000_000_000
SPEAK_EVERY_NS = 500_000_000
# A connection that was cut is not made anew more often than this.
_RENEW_EVERY_NS = 250_000_000
# A follower that is told to wait asks again.
_ASK_AGAIN_NS = 1_000_000_000
_MOST_MALFORMED = 5


class Step(Enum):
    """What the following end is to do next."""

    WAIT = auto()
    ASK = auto()
    RENEW_CUT = auto()
    RENEW_SILENT = auto()


class FollowingEnd:
    """The end that asks for samples: which session is its own, what of it has come, and when to speak."""

    def __init__(self) -> None:
        self.session = 0
        self.window = 0
        self.heard_ns = 0
        self._expected = self._consumed = self._told = 0
        self._renewed_ns = self._credit_ns = self._asked_ns = 0
        self._malformed = 0

    @property
    def consumed(self) -> int:
        """How many items of this session were taken on."""
        return self._consumed

    def renew(self, now_ns: int) -> None:
        """The connection is made anew now."""
        self._renewed_ns = now_ns

    def ask(self, now_ns: int) -> int:
        """Begin a session; its number."""
        self.session += 1
        self._expected = self._consumed = self._told = 0
        self.heard_ns = self._credit_ns = self._asked_ns = now_ns
        return self.session

    def hears(self, session: int, now_ns: int) -> bool:
        """True if what was said is of this session; the other end is there then."""
        if session != self.session:
            return False
        self.heard_ns = now_ns
        return True

    def in_order(self, first: int) -> None:
        """What follows has this number in the session. Raises WireError where something before it has not come."""
        if first != self._expected:
            raise WireError(f"item {self._expected} was to come, and not {first}")

    def came(self, n_items: int) -> None:
        """So many sound items have come, in order."""
        self._expected += n_items
        self._malformed = 0

    def consume(self) -> None:
        """One item was taken on: there is room for another."""
        self._consumed += 1

    def credit_due(self, now_ns: int) -> bool:
        """True where the other end is to be told what was taken: it never waits for that, and hears that we are here.

        It counts as told then.
        """
        if self._consumed - self._told <= self.window // 4 and now_ns - self._credit_ns <= SPEAK_EVERY_NS:
            return False
        self._told, self._credit_ns = self._consumed, now_ns
        return True

    def spoilt(self) -> bool:
        """A message was malformed: the stream is to be asked for anew; True once that was so too often in a row."""
        self._malformed += 1
        return self._malformed >= _MOST_MALFORMED

    def next_step(self, now_ns: int, *, is_connected: bool, was_cut: bool, is_told_to_wait: bool) -> Step:
        """What to do where nothing came. `is_told_to_wait`: the other end has nothing for us yet, as it said."""
        if was_cut and now_ns - self._renewed_ns > _RENEW_EVERY_NS:
            return Step.RENEW_CUT
        if now_ns - self.heard_ns > SOURCE_SILENCE_NS:
            return Step.RENEW_SILENT
        if is_told_to_wait and is_connected and now_ns - self._asked_ns > _ASK_AGAIN_NS:
            return Step.ASK
        return Step.WAIT


class ServingEnd:
    """The end that has the samples, towards one follower: what it was sent, what it has taken, whether it is there.

    `durable`: up to which sample index it has them on disk. `sent_to`: up to which it was sent any.
    """

    def __init__(self, now_ns: int) -> None:
        self.session = 0
        self.durable = self.sent_to = 0
        self.heard_ns = self.progress_ns = now_ns
        self.has_taken = False
        self._sent = self._taken = self._window = 0
        # Of messages that it has not taken: the number of items up to their end, and the sample index there.
        self._stops: deque[tuple[int, int]] = deque()
        self._reached = 0
        self._said_ns = 0

    @property
    def sent(self) -> int:
        """How many items of this session were sent: the number of the next one."""
        return self._sent

    @property
    def has_taken_all(self) -> bool:
        """True if nothing that was sent is on its way."""
        return self._taken >= self._sent

    @property
    def takes_samples(self) -> bool:
        """False for a follower that has asked with no window: it wants to know the stream only."""
        return self._window > 0

    def is_away(self, now_ns: int) -> bool:
        """True if nothing was heard of it for long."""
        return now_ns - self.heard_ns > FOLLOWER_SILENCE_NS

    def open(self, session: int, window: int, durable: int, now_ns: int) -> None:
        """It has asked anew: what was sent before is as good as never sent."""
        self.session, self._window = session, window
        self._sent = self._taken = 0
        self._stops.clear()
        self.durable = max(self.durable, durable)
        self.heard_ns = now_ns

    def credit(self, taken: int, durable: int, now_ns: int) -> None:
        """It has taken so many items of this session. Raises WireError if it cannot have."""
        if not self._taken <= taken <= self._sent:
            raise WireError(f"{taken} items taken, of {self._sent}")
        self.heard_ns = now_ns
        before = self._reached, self.durable
        while self._stops and self._stops[0][0] <= taken:
            self._reached = max(self._reached, self._stops.popleft()[1])
        self._taken = taken
        self.has_taken = self.has_taken or taken > 0
        self.durable = max(self.durable, durable)
        # A follower that takes the same again and again gets nowhere.
        if (self._reached, min(self.durable, self.sent_to)) > (before[0], min(before[1], self.sent_to)):
            self.progress_ns = now_ns

    def finish(self, durable: int) -> None:
        """It has everything, and keeps it up to here."""
        self.durable = max(self.durable, durable)

    def room(self, most: int) -> int:
        """How many items may be sent now, of `most` on their way."""
        return max(0, min(self._window, most) - (self._sent - self._taken))

    def begin(self, at: int) -> None:
        """It is sent samples from this index on."""
        self.sent_to = max(self.sent_to, at)

    def send(self, n_items: int, stop: int, now_ns: int) -> int:
        """So many items are sent, up to this sample index; the number of the first of them."""
        first = self._sent
        self._sent += n_items
        self.sent_to = stop
        self._stops.append((self._sent, stop))
        self._said_ns = now_ns
        return first

    def speaks(self, now_ns: int) -> None:
        """Something other than samples is said to it."""
        self._said_ns = now_ns

    def is_to_speak(self, now_ns: int) -> bool:
        """True where it has heard nothing for so long that it is to be told that we are here; counts as told then."""
        if now_ns - self._said_ns <= SPEAK_EVERY_NS:
            return False
        self._said_ns = now_ns
        return True
