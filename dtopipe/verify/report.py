"""What `verify` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtopipe.core.verdict import Verdict
from dtopipe.model.span import Gap, Span


@dataclass(frozen=True, slots=True)
class OutputReport:
    """What one output really holds; spans of sample indices. `problems` is empty if it is what the record says.

    `covered`: what is soundly in it, in the long layout for every channel. `differing`: samples whose values or times
    are wrong, `mistimed` those of them whose times are. `misstated`: samples whose block summaries are not theirs.
    `untimely`: samples of a triggered output that are around no event; `withheld`: those around one that it has not.
    `quiet`: of a triggered output that is split, what it is not to have, as far as that can be told.
    `misnamed`: gaps whose cause or length others know otherwise. `damage`: places that were passed over, in words.
    `compared_with`: what its values and times were held against, `not_compared`: what was not, and why; neither is a
    problem of this output. `retained_from`: a journal's first sample, where it has retired what is before; `retired`:
    how many samples. `nulls`: where it says that values are null though the board gave a sample; of a raw file, whose
    samples each say how the sensor was, none. `parts`: of an output that is split, the report of each part.
    """

    name: str
    path: str
    rows: int = 0
    samples: int = 0
    gaps: tuple[Gap, ...] = ()
    covered: tuple[Span, ...] = ()
    missing: tuple[Span, ...] = ()
    doubled: tuple[Span, ...] = ()
    unexpected: tuple[Span, ...] = ()
    differing: tuple[Span, ...] = ()
    mistimed: tuple[Span, ...] = ()
    misstated: tuple[Span, ...] = ()
    misnamed: tuple[Span, ...] = ()
    untimely: tuple[Span, ...] = ()
    quiet: tuple[Span, ...] = ()
    withheld: tuple[Span, ...] = ()
    disordered: bool = False
    unreadable: bool = False
    compared_with: str | None = None
    not_compared: str | None = None
    has_summaries: bool = False
    retained_from: int = 0
    retired: int = 0
    damage: tuple[str, ...] = ()
    nulls: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    parts: tuple[OutputReport, ...] = ()


@dataclass(frozen=True, slots=True)
class RunReport:
    """What `verify` found; `verdict` is that of the outputs as they are now.

    `gaps`: of the board (None) and of each sink, as `gaps.jsonl` should have them. `not_looked_at`: sinks whose
    samples nobody can read back, each with the reason. `handed_on`: sinks that keep no samples, so that nothing is
    there to be looked at, with what the run recorded of each. `damaged_files`: of the run's own files, in words; the
    samples are not in them. `inconsistent`: what the run's own files say of gaps and counts against each other.
    """

    folder: str
    recorded: Mapping[str, Any] | None
    verdict: Verdict
    outputs: tuple[OutputReport, ...] = field(default=())
    gaps: Mapping[str | None, Sequence[Gap]] = field(default_factory=dict)
    has_gaps_file: bool = True
    not_looked_at: tuple[str, ...] = ()
    handed_on: tuple[str, ...] = ()
    damaged_files: tuple[str, ...] = ()
    inconsistent: tuple[str, ...] = ()


def length(spans: Sequence[Span]) -> int:
    """The length of all of them together."""
    return sum(map(len, spans))


def listed(spans: Sequence[Span], most: int = 5) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(f"[{span.start}, {span.stop})" for span in spans[:most])
    return shown + (f" and {len(spans) - most} more ranges" if len(spans) > most else "")
