"""What limits came to, in words for people and as facts of the run record; both from the same facts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dtopipe.core.ending import EndedBy, ending_from
from dtopipe.core.remark import Remark, time_text
from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.facts import finite
from dtopipe.model.limits import Side, Then

CROSSED, OVER = "limit_crossed", "limit_over"
_MOST_NAMED = 6
# More limits than a topology may have; a record may be anybody's.
_MOST_READ = 10_000
_LONGEST_WORD = 200


@dataclass(frozen=True, slots=True)
class Lasting:
    """A crossing that goes on: which one it is, since when, and for how long so far."""

    number: int
    since_utc_ns: int
    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitOutcome:
    """What one limit came to. `outside_s`: of crossings that are over; `first_utc_ns`: when the first one began.

    `is_to_end`: the last one lasted to the end of the run.
    """

    channel: str
    side: Side
    limit: float
    unit: str = ""
    crossings: int = 0
    outside_s: float = 0.0
    extreme: float | None = None
    first_utc_ns: int | None = None
    lasting: Lasting | None = None
    is_to_end: bool = False

    @property
    def text(self) -> str:
        """What it is to cross it, such as `tc1 above 900 degC`."""
        return f"{self.channel} {self.side.word} {self.limit:.12g} {self.unit}".rstrip()

    def words(self, started_at: str, *, interrupted: bool = False) -> str:
        """What it came to, such as `tc1 above 900 degC for 3.2 s at 12:03:04Z`; empty if it was not crossed.

        `started_at`: of the run, by which times of its day need no date.
        """
        if not self.crossings or self.first_utc_ns is None:
            return ""
        outside_s = self.outside_s + (self.lasting.for_s if self.lasting else 0.0)
        at = moment_text(self.first_utc_ns, started_at)
        on = ", to the end" if self.is_to_end else ""
        if self.lasting is not None:
            on = ", and longer" if interrupted else ", to the end"
        if self.crossings == 1:
            return f"{self.text} for {time_text(outside_s)} at {at}{on}"
        return f"{self.text} {self.crossings:,} times, for {time_text(outside_s)} in all, the first at {at}{on}"

    def facts(self) -> dict[str, Any]:
        """As in the run record."""
        facts: dict[str, Any] = {
            "channel": self.channel,
            "limit": self.side.value,
            "value": self.limit,
            "unit": self.unit,
        }
        facts |= {"crossings": self.crossings, "outside_s": round(self.outside_s, 9), "extreme": finite(self.extreme)}
        if self.first_utc_ns is not None:
            facts["first_at"] = iso_utc(self.first_utc_ns)
        if self.lasting is not None:
            since = iso_utc(self.lasting.since_utc_ns)
            facts["lasting"] = {"number": self.lasting.number, "since": since, "for_s": round(self.lasting.for_s, 9)}
        if self.is_to_end:
            facts["is_to_end"] = True
        return facts


def moment_text(t_utc_ns: int, started_at: str) -> str:
    """`12:03:04Z`, with its date unless that is the day on which the run began."""
    text = f"{iso_utc(t_utc_ns)[:19]}Z"
    return text[11:] if text[:10] == started_at[:10] else text


def limit_remarks(record: Mapping[str, Any]) -> tuple[Remark, ...]:
    """The words for the verdict, which they make no worse, of what a run record says of limits."""
    facts = record.get("limits")
    started_at = str(record.get("started_at", ""))
    ending = ending_from(record.get("ended_by"))
    interrupted = ending is not None and ending.by is EndedBy.KILLED
    found = [words for each in outcomes_from(facts) if (words := each.words(started_at, interrupted=interrupted))]
    named = [Remark(words) for words in found[:_MOST_NAMED]]
    if len(found) > _MOST_NAMED:
        named.append(Remark(f"{len(found) - _MOST_NAMED} more limits were crossed: see limits in run.json"))
    if isinstance(facts, Mapping) and isinstance(said := facts.get("not_watched"), str):
        named.append(Remark(said[:_LONGEST_WORD]))
    return tuple(named)


def outcomes_from(facts: Any) -> list[LimitOutcome]:
    """What a run record says; nothing of what no run of ours would."""
    seen = facts.get("seen") if isinstance(facts, Mapping) else None
    if not isinstance(seen, (list, tuple)):
        return []
    return [found for each in seen[:_MOST_READ] if (found := _outcome_from(each)) is not None]


def with_events(outcomes: Iterable[LimitOutcome], events: Iterable[Mapping[str, Any]]) -> list[LimitOutcome]:
    """The same with what `events.jsonl` has behind them: of a run that is killed, the record is some seconds old."""
    found = {(each.channel, each.side): each for each in outcomes}
    for event in events:
        key = (event.get("channel"), event.get("limit"))
        known = found.get(key)  # type: ignore[arg-type]
        if known is not None and event.get("event") in (CROSSED, OVER):
            try:
                found[known.channel, known.side] = _with_event(known, event)
            except (KeyError, TypeError, ValueError):
                continue
    return list(found.values())


def _with_event(known: LimitOutcome, event: Mapping[str, Any]) -> LimitOutcome:
    number, since = int(event["number"]), utc_ns(event["began_at"])
    extreme = event.get("extreme")
    if event["event"] == CROSSED:
        if number <= known.crossings:
            return known
        return replace(
            known,
            crossings=number,
            first_utc_ns=since if known.first_utc_ns is None else known.first_utc_ns,
            lasting=Lasting(number, since, float(event["after_s"])),
            extreme=extreme if known.extreme is None else known.extreme,
        )
    if known.lasting is None or known.lasting.number != number:
        return known
    return replace(
        known,
        outside_s=known.outside_s + float(event["lasted_s"]),
        extreme=known.extreme if extreme is None else float(extreme),
        lasting=None,
        is_to_end=event.get("then") == Then.END,
    )


def _outcome_from(facts: Any) -> LimitOutcome | None:
    try:
        lasting = facts.get("lasting")
        found = LimitOutcome(
            channel=str(facts["channel"])[:_LONGEST_WORD],
            side=Side(facts["limit"]),
            limit=float(facts["value"]),
            unit=str(facts["unit"])[:_LONGEST_WORD],
            crossings=int(facts["crossings"]),
            outside_s=float(facts["outside_s"]),
            extreme=None if facts["extreme"] is None else float(facts["extreme"]),
            first_utc_ns=utc_ns(facts["first_at"]) if "first_at" in facts else None,
            lasting=None
            if lasting is None
            else Lasting(int(lasting["number"]), utc_ns(lasting["since"]), float(lasting["for_s"])),
            is_to_end=facts.get("is_to_end") is True,
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None
    numbers = (found.limit, found.outside_s, found.lasting.for_s if found.lasting else 0.0)
    return found if all(math.isfinite(number) for number in numbers) and found.crossings >= 0 else None
