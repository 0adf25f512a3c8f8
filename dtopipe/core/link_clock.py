"""Two machines' clocks held against each other across a link: several questions, and the quickest answer counts."""

from __future__ import annotations

from dataclasses import dataclass

# Several in a row as soon as there is a link, and again now and then: clocks drift, and links are not always idle.
_PROBES = 8
_EVERY_NS = 10_000_000_000
_ANSWER_WITHIN_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class LinkPair:
    """One instant on both machines: half of the way between question and answer here, their time in the answer.

    The other machine's clocks less ours are known to `uncertainty_ns`, half of what the question took (RFC 5905, 8).
    """

    t_mono_ns: int
    t_utc_ns: int
    source_t_mono_ns: int
    source_t_utc_ns: int
    round_trip_ns: int

    @property
    def offset_ns(self) -> int:
        """Their UTC less ours."""
        return self.source_t_utc_ns - self.t_utc_ns

    @property
    def mono_offset_ns(self) -> int:
        """Their `mono_ns` less ours: what other instruments here need to find their place among the samples' times."""
        return self.source_t_mono_ns - self.t_mono_ns

    @property
    def uncertainty_ns(self) -> int:
        """The offsets are wrong by this at most, while the link is as quick in one direction as it may be."""
        return (self.round_trip_ns + 1) // 2


class LinkClock:
    """Says when to ask, and keeps the best answer of each round. Times come in as `now_ns`."""

    def __init__(self) -> None:
        self._left = _PROBES
        self._asked_ns: int | None = None
        self._began_ns: int | None = None
        self._best: LinkPair | None = None

    def question(self, now_ns: int) -> int | None:
        """The time to be sent with a question, if one is due."""
        if self._asked_ns is not None and now_ns - self._asked_ns < _ANSWER_WITHIN_NS:
            return None
        if not self._left:
            if self._began_ns is None or now_ns - self._began_ns < _EVERY_NS:
                return None
            self._left, self._best = _PROBES, None
        if self._left == _PROBES:
            self._began_ns = now_ns
        self._left -= 1
        self._asked_ns = now_ns
        return now_ns

    def answered(
        self, asked_ns: int, source_t_mono_ns: int, source_t_utc_ns: int, now_ns: int, now_utc_ns: int
    ) -> LinkPair | None:
        """An answer has come; returns the best of the round once that is complete."""
        if asked_ns != self._asked_ns:
            return None
        self._asked_ns = None
        round_trip_ns = max(0, now_ns - asked_ns)
        if self._best is None or round_trip_ns < self._best.round_trip_ns:
            half_ns = round_trip_ns // 2
            times = now_ns - half_ns, now_utc_ns - half_ns
            self._best = LinkPair(*times, source_t_mono_ns, source_t_utc_ns, round_trip_ns)
        return None if self._left else self._best
