"""The lines of `gaps.jsonl`, and of every other file of lines."""

from __future__ import annotations

from typing import Any

from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.errors import WireError
from dtopipe.model.facts import Facts, parsed
from dtopipe.model.shown import json_text
from dtopipe.model.span import Cause, Gap, Span


def json_line(document: Any) -> str:
    """A document as one line of text, whatever names are in it."""
    return json_text(document)


def gap_line(sink: str | None, gap: Gap) -> dict[str, Any]:
    """A gap as a line of `gaps.jsonl`."""
    return {
        "sink": sink,
        "start": gap.span.start,
        "stop": gap.span.stop,
        "cause": Cause(gap.cause).value,
        "t_utc": iso_utc(gap.t_utc_ns),
    }


def gap_from_line(line: str) -> tuple[str | None, Gap]:
    """The sink and the gap of such a line. Raises WireError."""
    try:
        facts = Facts(parsed(line))
        sink = facts.text("sink") if facts.has("sink") else None
        start = facts.count("start")
        span = Span(start, facts.count("stop", least=start))
        return sink, Gap(span, Cause(facts.text("cause")), utc_ns(facts.time("t_utc")))
    except ValueError as error:
        raise WireError(f"not a line of gaps: {error}") from error
