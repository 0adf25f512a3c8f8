"""A file output written anew beside the old one, and put in its place in a way that a kill cannot spoil.

The new one is `stem.repair.ext`, with everything that belongs to it. Once it is whole and synced, a mark,
`stem.repair.ext.whole`, says so; then its files are moved over the old ones, and the mark goes last. Whoever finds the
mark completes the move; without it the new files are half written, and nobody's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from dtopipe.model.errors import SinkError
from dtopipe.sinks.commit_record import SUFFIX, ensure_not_written
from dtopipe.sinks.outputs import sink_errors, sync_folder
from dtopipe.sinks.parquet_tail import TAIL_SUFFIX
from dtopipe.sinks.sqlite_database import SIDE_SUFFIXES
from dtopipe.wire.raw_files import INDEX_SUFFIX, segment_path, segments_of

_COMPANIONS = (SUFFIX, INDEX_SUFFIX, TAIL_SUFFIX, *SIDE_SUFFIXES)


def new_path(path: Path) -> Path:
    """Where the output at `path` is written anew."""
    return path.with_name(f"{path.stem}.repair{path.suffix}")


def put_in_place(path: Path) -> None:
    """The new output, which is whole and synced, becomes the one at `path`. Raises SinkError."""
    new = new_path(path)
    with sink_errors(path):
        ensure_not_written(path)
        draft = _draft(path)
        with draft.open("w", encoding="utf-8") as file:
            json.dump([each.name[len(new.stem) :] for each in _files(new)], file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(_mark(path))
    sync_folder(path)
    complete(path)


def complete(path: Path) -> None:
    """Finish a move that was interrupted, or clear away what was never whole. Raises SinkError."""
    mark, new = _mark(path), new_path(path)
    with sink_errors(path):
        if mark.exists():
            _move(new, path, json.loads(mark.read_text(encoding="utf-8")))
            sync_folder(path)
            mark.unlink()
        else:
            discard(path)


def discard(path: Path) -> None:
    """Clear away what was written anew and is not whole. Raises OSError."""
    for file in (*_files(new_path(path)), _draft(path)):
        file.unlink(missing_ok=True)


def _move(new: Path, path: Path, endings: Sequence[str]) -> None:
    try:
        for ending in endings:
            file = new.with_name(new.stem + ending)
            # What is not there any more an earlier call has moved.
            if file.exists():
                file.replace(path.with_name(path.stem + ending))
        for file in _files(path):
            if file.name[len(path.stem) :] not in endings:
                file.unlink()
    except PermissionError as error:
        message = f"the repaired output is whole, but cannot take its place: {error.strerror}"
        raise SinkError(path, message, "close what has it open, and call repair again") from error


def _files(path: Path) -> list[Path]:
    """Every file of the output at `path`."""
    if not path.parent.is_dir():
        return []
    data = [segment_path(path, number) for number in sorted({0, *segments_of(path)})]
    beside = [path.with_name(path.name + ending) for ending in _COMPANIONS]
    return [file for file in (*data, *beside) if file.exists()]


def _mark(path: Path) -> Path:
    new = new_path(path)
    return new.with_name(new.name + ".whole")


def _draft(path: Path) -> Path:
    """The mark while it is written."""
    new = new_path(path)
    return new.with_name(new.name + ".mark")
