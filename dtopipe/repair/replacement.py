"""A file output written anew beside the old one, and put in its place in a way that a kill cannot spoil.

The new one is `stem.repair.ext`, with everything that belongs to it. Once it is whole, synced and looked at, a mark,
`stem.repair.ext.whole`, says so; then its files are moved over the old ones, and the mark goes last. Whoever finds the
mark completes the move; without it the new files are half written, and nobody's. An old one that held more than could
be read, or something else than the new one, is not replaced but moved aside: `stem.damaged.ext`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dtopipe.host.plain_file import not_a_file
from dtopipe.model.errors import SinkError
from dtopipe.sinks.file.commit_record import SUFFIX, ensure_not_written
from dtopipe.sinks.file.errors import ensure_file, ensure_no_link, sink_errors, sync_folder
from dtopipe.sinks.parquet.tail import TAIL_SUFFIX
from dtopipe.sinks.sqlite.database import SIDE_SUFFIXES
from dtopipe.wire.raw_files import INDEX_SUFFIX, segment_path, segments_of

_COMPANIONS = (SUFFIX, INDEX_SUFFIX, TAIL_SUFFIX, *SIDE_SUFFIXES)


def new_path(path: Path) -> Path:
    """Where the output at `path` is written anew."""
    return path.with_name(f"{path.stem}.repair{path.suffix}")


def ensure_replaceable(path: Path) -> None:
    """Raises SinkError where a pipe, a device, a folder or a link is in the place of one of the output's files."""
    for each in _files(path):
        ensure_file(each)
        ensure_no_link(each)


def put_in_place(path: Path, *, keep: bool) -> Path | None:
    """The new output, which is whole and synced, becomes the one at `path`. Raises SinkError.

    With `keep`, what was there is moved aside; returns where it is then.
    """
    new = new_path(path)
    ensure_replaceable(path)
    aside = _free_aside(path) if keep and _files(path) else None
    with sink_errors(path):
        ensure_not_written(path)
        draft = _draft(path)
        with draft.open("w", encoding="utf-8") as file:
            endings = [each.name[len(new.stem) :] for each in _files(new)]
            json.dump({"endings": endings, "aside": None if aside is None else aside.stem}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(_mark(path))
    sync_folder(path)
    complete(path)
    return aside


def complete(path: Path) -> None:
    """Finish a move that was interrupted, or clear away what was never whole. Raises SinkError."""
    mark, new = _mark(path), new_path(path)
    with sink_errors(path):
        if mark.exists():
            _move(new, path, *_marked(path, mark))
            sync_folder(path)
            mark.unlink()
        else:
            discard(path)


def discard(path: Path) -> None:
    """Clear away what was written anew and is not whole. Raises OSError."""
    for file in (*_files(new_path(path)), _draft(path)):
        if not not_a_file(file):
            file.unlink(missing_ok=True)


def _marked(path: Path, mark: Path) -> tuple[list[str], str | None]:
    """The endings of the new files, and the stem of what is moved aside. Raises SinkError on another mark."""
    known = [re.escape(ending) for ending in ("", *_COMPANIONS)]
    ending = re.compile(rf"(\.\d{{4,}})?{re.escape(path.suffix)}|{re.escape(path.suffix)}({'|'.join(known)})")
    stem = re.compile(rf"{re.escape(path.stem)}\.damaged(\.\d+)?")
    try:
        document: Any = json.loads(mark.read_text(encoding="utf-8"))
        # As earlier versions wrote it.
        endings = document if isinstance(document, list) else document["endings"]
        aside = None if isinstance(document, list) else document["aside"]
        if all(ending.fullmatch(each) for each in endings) and (aside is None or stem.fullmatch(aside)):
            return list(endings), aside
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise SinkError(mark, "does not say which files are to be moved", "move it and what is beside it away")


def _move(new: Path, path: Path, endings: Sequence[str], aside: str | None) -> None:
    try:
        for ending in endings:
            file = new.with_name(new.stem + ending)
            # What is not there any more an earlier call has moved: then the one in its place is not the old one.
            if file.exists():
                _clear(path.with_name(path.stem + ending), path, aside)
                file.replace(path.with_name(path.stem + ending))
        for file in _files(path):
            if file.name[len(path.stem) :] not in endings:
                _clear(file, path, aside)
    except PermissionError as error:
        message = f"the repaired output is whole, but cannot take its place: {error.strerror}"
        raise SinkError(path, message, "close what has it open, and call repair again") from error


def _clear(old: Path, path: Path, aside: str | None) -> None:
    """Make room where an old file is: moved aside, where that is wanted."""
    if not old.exists():
        return
    ensure_file(old)
    ensure_no_link(old)
    if aside is None:
        old.unlink()
    else:
        old.replace(path.with_name(aside + old.name[len(path.stem) :]))


def _free_aside(path: Path) -> Path:
    """The first of `stem.damaged.ext`, `stem.damaged.1.ext`, ... of which there is no file."""
    number = 0
    while True:
        stem = f"{path.stem}.damaged" + (f".{number}" if number else "")
        candidate = path.with_name(stem + path.suffix)
        if not _files(candidate):
            return candidate
        number += 1


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
