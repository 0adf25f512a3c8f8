"""What the chunks of a `.dt-raw` file say of the run itself: its marks, and metadata that were changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from dtopipe.model.marks import Mark


def marks_in(notes: Iterable[Mapping[str, Any] | None]) -> list[Mark]:
    """The marks that these chunks tell of, by their numbers; what is none is passed over."""
    found: dict[int, Mark] = {}
    for each in notes:
        marks = (each or {}).get("marks")
        for document in marks if isinstance(marks, list) else ():
            with contextlib.suppress(ValueError):
                mark = Mark.from_json(document)
                found[mark.number] = mark
    return [found[number] for number in sorted(found)]


def metadata_in(notes: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """The metadata as they were changed last; None where they were not."""
    found = None
    for each in notes:
        metadata = (each or {}).get("metadata")
        found = metadata if isinstance(metadata, dict) else found
    return found
