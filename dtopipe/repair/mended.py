"""What a repair did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtopipe.core.verdict import Verdict
from dtopipe.repair.condition import Mend
from dtopipe.verify.outputs import Output


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of one output. `failure`: why it is not repaired, or empty. `added`: samples per channel.

    `damage`: what was found damaged in it, in words. `aside`: where what was there is kept, if it was replaced.
    """

    name: str
    how: str
    added: int
    samples: int
    gaps: int
    failure: str = ""
    damage: tuple[str, ...] = ()
    aside: str = ""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What `repair` did; `verdict` is that of the run now."""

    folder: str
    first_verdict: Mapping[str, Any]
    verdict: Verdict
    outputs: tuple[Mended, ...]


def whole_of_parts(output: Output, parts: Sequence[Mended]) -> Mended:
    """What became of an output, of what became of each of its parts."""
    counts: dict[str, int] = {}
    for part in parts:
        if part.how != Mend.NOTHING.value:
            counts[part.how] = counts.get(part.how, 0) + 1
    what = [f"{n} of {len(parts)} parts {how}" for how, n in counts.items()]
    return Mended(
        name=output.name,
        how=", ".join(what) or Mend.NOTHING.value,
        added=sum(part.added for part in parts),
        samples=sum(part.samples for part in parts),
        gaps=sum(part.gaps for part in parts),
        failure="; ".join(part.failure for part in parts if part.failure),
        damage=tuple(damage for part in parts for damage in part.damage),
        aside=", ".join(part.aside for part in parts if part.aside),
    )
