"""The lines of `gaps.jsonl`, and of every other file of lines."""

from __future__ import annotations

import json
from typing import Any

from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span

# Letters that readers take for the end of a line, and JSON does not.
_ENDS_OF_LINES = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def json_line(document: Any) -> str:
    """A document as one line of text, whatever names are in it."""
    return json.dumps(document, ensure_ascii=False).translate(_ENDS_OF_LINES)


def gap_line(sink: str | None, gap: Gap) -> dict[str, Any]:
    """A gap as a line of `gaps.jsonl`."""
    return {
        "sink": sink,
        "start": gap.span.start,
        "stop": gap.span.stop,
        "cause": Cause(gap.cause).value,
        "t_utc": iso_utc(gap.t_utc_ns),
    }


def gap_from_line(document: Any) -> tuple[str | None, Gap]:
    """The sink and the gap of such a line. Raises WireError."""
    try:
        span = Span(int(document["start"]), int(document["stop"]))
        return document["sink"], Gap(span, Cause(document["cause"]), utc_ns(document["t_utc"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"not a line of gaps: {error}") from error
