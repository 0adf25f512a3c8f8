"""Why samples are absent: what the board lost, and what a reader missed of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dtopipe.model.span import Cause, Gap, Span


def explained(
    absent: Span, board_gaps: Iterable[Gap], otherwise: Cause, t_utc_ns_at: Callable[[int], int]
) -> list[Gap]:
    """The gaps that make up `absent`, in order: the board's own, and `otherwise` for what lies between them.

    `t_utc_ns_at` gives the time of a sample index.
    """
    found: list[Gap] = []
    at = absent.start
    for gap in sorted(board_gaps):
        part = gap.span.intersection(Span(at, absent.stop))
        if not part:
            continue
        if part.start > at:
            found.append(Gap(Span(at, part.start), otherwise, t_utc_ns_at(at)))
        found.append(Gap(part, gap.cause, t_utc_ns_at(part.start)))
        at = part.stop
    if at < absent.stop:
        found.append(Gap(Span(at, absent.stop), otherwise, t_utc_ns_at(at)))
    return found
