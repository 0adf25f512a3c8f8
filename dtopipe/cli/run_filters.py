"""Which runs `dtopipe runs` is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from dtopipe.model.clock import utc_ns
from dtopipe.model.verdict_state import VerdictState

IN_PROGRESS = "in progress"


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Runs whose metadata have these values, that were started in this time, and that have one of these verdicts.

    `since_ns`: the first moment, `until_ns`: the one behind the last, both UTC in ns.
    """

    where: Mapping[str, str] = field(default_factory=dict)
    since_ns: int | None = None
    until_ns: int | None = None
    verdicts: Sequence[str] = ()

    def fits(self, document: Mapping[str, Any]) -> bool:
        """True for the run that `document` tells of, as `dtopipe runs --json` does."""
        metadata = document.get("metadata") or {}
        if any(key not in metadata or _text(metadata[key]) != value for key, value in self.where.items()):
            return False
        if self.since_ns is not None or self.until_ns is not None:
            if not document["started_at"]:
                return False
            started_ns = utc_ns(document["started_at"])
            if started_ns < (self.since_ns or started_ns) or started_ns >= (self.until_ns or started_ns + 1):
                return False
        state = IN_PROGRESS if document["in_progress"] else (document["verdict"] or {}).get("state", "")
        return not self.verdicts or state in self.verdicts


def filter_from(where: Sequence[str], since: str | None, until: str | None, verdicts: Sequence[str]) -> RunFilter:
    """The filter that these options mean. Raises click.BadParameter."""
    pairs = {}
    for each in where:
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{each!r} is not KEY=VALUE, such as sample=A7", param_hint="--where")
        pairs[key] = value
    return RunFilter(pairs, _moment(since, "--since"), _moment(until, "--until"), tuple(verdicts))


def verdict_choices() -> list[str]:
    """What --verdict takes."""
    return [IN_PROGRESS, *(state.value for state in VerdictState)]


def _moment(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return utc_ns(text)
    except ValueError:
        what = f"{text!r} is no date, such as 2026-11-01, and no time, such as 2026-11-01T14:30:00Z"
        raise click.BadParameter(what, param_hint=option) from None


def _text(value: Any) -> str:
    """As somebody would type it."""
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
