"""How much a run has of the one that it followed on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Followed:
    """What is known of the other machine's run. Ends are exclusive sample indices.

    `source_end`: where that run has ended, as it said itself; None: it never said so. `asked_end`: how far this run was
    to go by its own `duration`; None: as far as the other one. `away_since`: ISO 8601, since when nothing was heard
    of it when this run ended; empty if it was there.
    """

    endpoint: str
    source_end: int | None = None
    asked_end: int | None = None
    away_since: str = ""

    def lack(self, end: int) -> str:
        """What a run that has ended at `end` may not have of it, in words; empty if it has all that it was to have."""
        if any(goal is not None and end >= goal for goal in (self.source_end, self.asked_end)):
            return ""
        if self.source_end is not None:
            return f"followed up to sample {end} of {self.source_end}"
        if self.away_since:
            return (
                f"followed up to sample {end}: the source was away since {self.away_since}, "
                "and what it has beyond is not here"
            )
        return f"followed up to sample {end}, and the source went on: what it has beyond is not here"

    def facts(self) -> dict[str, Any]:
        """As in the run record."""
        return {
            "endpoint": self.endpoint,
            "end_sample_index": self.source_end,
            **({} if self.asked_end is None else {"asked_end_sample_index": self.asked_end}),
            **({"away_since": self.away_since} if self.away_since else {}),
        }


def followed_from(facts: Any) -> Followed | None:
    """What a run record says under `source`; None of a run that followed none.

    Whatever is not as it should be counts as not known.
    """
    if not isinstance(facts, Mapping):
        return None
    return Followed(
        endpoint=_text(facts.get("endpoint")),
        source_end=_index(facts.get("end_sample_index")),
        asked_end=_index(facts.get("asked_end_sample_index")),
        away_since=_text(facts.get("away_since")),
    )


def known_end(record: Mapping[str, Any]) -> int | None:
    """Where a run has ended, by the record of any machine that has it; None where that one does not know."""
    if record.get("verdict") is None:
        return None
    followed = followed_from(record.get("source"))
    return record["acquired"]["end_sample_index"] if followed is None else followed.source_end


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
