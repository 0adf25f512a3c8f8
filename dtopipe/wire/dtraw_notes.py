"""What the chunks of a `.dt-raw` file say of the run itself: its marks, and metadata that were changed.

They stand at the end of the file, so that nobody reads what was measured to know them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from dtopipe.model.facts import parsed
from dtopipe.model.marks import Mark
from dtopipe.wire.dtraw import CHUNK_BEGINS, LENGTH, MAX_HEADER_BYTES

# Some hundred marks without long texts.
_LOOKED_AT_BYTES = 2**16


def notes_at_end(path: Path) -> list[Mapping[str, Any]]:
    """What the last chunks of this file say, in order; empty where it ends with samples, or in the middle of something.

    Raises OSError.
    """
    found: list[Mapping[str, Any]] = []
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while (chunk := _notes_before(file, end)) is not None:
            end, notes = chunk
            found.append(notes)
    return found[::-1]


def _notes_before(file: IO[bytes], end: int) -> tuple[int, Mapping[str, Any]] | None:
    """Where the chunk of notes begins that ends there, and what it says; None if there is none."""
    n_bytes = _LOOKED_AT_BYTES
    while True:
        start = max(0, end - n_bytes)
        file.seek(start)
        data = file.read(end - start)
        at = data.rfind(CHUNK_BEGINS, LENGTH.size)
        if at >= 0:
            break
        if not start or n_bytes >= MAX_HEADER_BYTES:
            return None
        n_bytes *= 4
    if LENGTH.unpack_from(data, at - LENGTH.size)[0] != len(data) - at:
        return None
    with contextlib.suppress(ValueError):
        notes = parsed(data[at:]).get("notes")
        if isinstance(notes, dict):
            return start + at - LENGTH.size, notes
    return None


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
