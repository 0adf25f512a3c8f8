"""What was noted of a run, as its raw file has it: chunks without samples, written at the close."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtopipe.model.facts import finite
from dtopipe.model.marks import Mark

# A header is bounded; one of so many marks with the longest texts stays far below.
_MOST_MARKS = 500


@dataclass
class RawNotes:
    """Kept until the file is closed: there is no other place that a reader would look at last."""

    marks: dict[int, Mark] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note."""
        self.marks |= {mark.number: mark for mark in marks}
        self.metadata = self.metadata if metadata is None else metadata

    def documents(self) -> Iterator[dict[str, Any]]:
        """What each chunk says; none where there is nothing to say."""
        marks = [self.marks[number].to_json() for number in sorted(self.marks)]
        metadata = {} if self.metadata is None else {"metadata": finite(dict(self.metadata))}
        for at in range(0, max(len(marks), bool(metadata)), _MOST_MARKS):
            yield {**(metadata if not at else {}), "marks": marks[at : at + _MOST_MARKS]}
