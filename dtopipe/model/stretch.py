"""How a run went over time: stretches of it, each with how far everybody was at its end, and the worst in between."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.facts import Facts

# A topology has fewer sinks; a run folder may come from anybody.
_MOST_SINKS = 1000
# Thirty years.
_MOST_S = 1e9


@dataclass(frozen=True, slots=True)
class SinkStretch:
    """`samples`, `dropped`: counted so far, at the end of the stretch; `lag_s`: the longest within it."""

    samples: int
    dropped: int
    lag_s: float

    def followed_by(self, later: SinkStretch) -> SinkStretch:
        """Both as one."""
        return SinkStretch(later.samples, later.dropped, max(self.lag_s, later.lag_s))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a run, in real time: it ended at `t_utc_ns`, and was `for_s` long.

    `end_sample_index`, `samples`, `overrun_samples`: of the board, per channel, counted so far at its end.
    `headroom_s`: the least time that was left within it before the ring was full; None while nobody held the ring.
    """

    t_utc_ns: int
    for_s: float
    end_sample_index: int
    samples: int
    overrun_samples: int
    headroom_s: float | None
    sinks: Mapping[str, SinkStretch] = field(default_factory=dict)

    def followed_by(self, later: Stretch) -> Stretch:
        """Both as one; a sink that was in one of them only is in it as it was there."""
        rooms = [room for room in (self.headroom_s, later.headroom_s) if room is not None]
        sinks = {**self.sinks, **later.sinks}
        for name in self.sinks.keys() & later.sinks.keys():
            sinks[name] = self.sinks[name].followed_by(later.sinks[name])
        return Stretch(
            later.t_utc_ns,
            self.for_s + later.for_s,
            later.end_sample_index,
            later.samples,
            later.overrun_samples,
            min(rooms, default=None),
            sinks,
        )

    def to_json(self) -> dict[str, Any]:
        """As a run record has it."""
        return {
            "t_utc": iso_utc(self.t_utc_ns),
            "for_s": round(self.for_s, 3),
            "end_sample_index": self.end_sample_index,
            "samples": self.samples,
            "overrun_samples": self.overrun_samples,
            "headroom_s": None if self.headroom_s is None else round(self.headroom_s, 3),
            "sinks": {
                name: {"samples": sink.samples, "dropped": sink.dropped, "lag_s": round(sink.lag_s, 3)}
                for name, sink in self.sinks.items()
            },
        }

    @classmethod
    def from_json(cls, document: Any) -> Stretch:
        """The stretch of such a part of a record. Raises ValueError for what is none."""
        facts = Facts(document)
        sinks = facts.part("sinks")
        if len(sinks.names()) > _MOST_SINKS:
            raise facts.misfit("sinks", f"has more than {_MOST_SINKS} sinks")
        return cls(
            t_utc_ns=utc_ns(facts.time("t_utc")),
            for_s=facts.number("for_s", above=0, most=_MOST_S),
            end_sample_index=facts.count("end_sample_index"),
            samples=facts.count("samples"),
            overrun_samples=facts.count("overrun_samples"),
            headroom_s=_seconds(facts, "headroom_s") if facts.has("headroom_s") else None,
            sinks={
                name: SinkStretch(sink.count("samples"), sink.count("dropped"), _seconds(sink, "lag_s"))
                for name, sink in sinks.parts()
            },
        )


def _seconds(facts: Facts, name: str) -> float:
    return facts.number(name, above=-_MOST_S, most=_MOST_S)


def thinned(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Half as many, rounded up: each two that follow each other are one."""
    pairs = zip(stretches[::2], stretches[1::2], strict=False)
    return [*(first.followed_by(second) for first, second in pairs), *stretches[len(stretches) // 2 * 2 :]]


def stretches_from(documents: Any, most: int) -> list[Stretch]:
    """The stretches that a run record tells of, joined until there are at most so many; none where it tells of none.

    It passes over what is damaged, or does not come after the one before.
    """
    found: list[Stretch] = []
    for document in documents if isinstance(documents, list) else ():
        with contextlib.suppress(ValueError):
            stretch = Stretch.from_json(document)
            if not found or stretch.t_utc_ns > found[-1].t_utc_ns:
                found.append(stretch)
    while len(found) > most:
        found = thinned(found)
    return found
