"""The files beside a raw output: its segments, and the index by which a journal is read along."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from dtopipe.host.disk_names import make_folders
from dtopipe.model.errors import OutputExists, SinkError
from dtopipe.model.policy import OnExists
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.sinks.file.commit_record import SUFFIX
from dtopipe.sinks.file.errors import ensure_file, ensure_no_link, free_name, sink_errors
from dtopipe.wire.raw_files import INDEX_SUFFIX, index_entry, index_path, read_index, segment_path, segments_of

# As much as is read in no time: an hour of commits.
_LONG_BYTES = 2**16


def prepare_segments(path: Path, on_exists: OnExists) -> None:
    """Make the way free for new segments of the output at `path`, as `on_exists` says.

    Raises OutputExists, SinkError.
    """
    with sink_errors(path):
        make_folders(path.parent)
        for each in (path.with_name(path.name + SUFFIX), *(segment_path(path, n) for n in segments_of(path) if n)):
            ensure_file(each)
        segments = [number for number in segments_of(path) if number]
        if not segments:
            return
        first = segment_path(path, segments[0])
        if on_exists is OnExists.ERROR:
            raise OutputExists(first, "this output exists already", "move it away, or set on_exists: rename, overwrite")
        if on_exists is OnExists.APPEND:
            raise SinkError(first, "a segment holds one run", "set on_exists: rename or overwrite")
        aside = _free_name(path)
        companions = [(path.with_name(path.name + e), aside.with_name(aside.name + e)) for e in (SUFFIX, INDEX_SUFFIX)]
        # The first segment goes last: whoever is killed in between leaves it, and the next one goes on.
        files = [(segment_path(path, number), segment_path(aside, number)) for number in reversed(segments)]
        for there, elsewhere in (*companions, *files):
            if not there.exists():
                continue
            ensure_no_link(there)
            if on_exists is OnExists.OVERWRITE:
                there.unlink()
            else:
                shutil.move(there, elsewhere)


def _free_name(path: Path) -> Path:
    """A name whose first segment is not taken either."""
    name = free_name(path)
    number = 1
    # The first ones of a journal may have been retired.
    while segments_of(name) != [0]:
        number += 1
        name = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return name


class JournalIndex:
    """Where the blocks of each commit begin; a cache: what cannot be written to it is found by reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._begins: tuple[int, int, int] | None = None

    def open(self, *, fresh: bool) -> None:
        """Go on with what is there, or begin anew."""
        self._begins = None
        if self._file is None:
            with contextlib.suppress(OSError):
                self._file = index_path(self._path).open("wb" if fresh else "ab", buffering=0)

    def appended(self, items: Sequence[Block | Gap | Readings], segment: int, offset: int) -> None:
        """The chunks of `items` begin at this byte; the first of a commit counts."""
        first = next((item for item in items if isinstance(item, Block)), None)
        if self._begins is None and first is not None and first is items[0]:
            self._begins = first.block_index, segment, offset

    def committed(self) -> None:
        """What was appended may be read."""
        if self._file is not None and self._begins is not None:
            with contextlib.suppress(OSError):
                self._file.write(index_entry(*self._begins))
        self._begins = None

    def retire(self, first_segment: int) -> None:
        """Forget the segments before this one, where they are most of a long index; who reads meanwhile finds less."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            index = read_index(self._path)
            kept = index[index["segment"] >= first_segment]
            if index.nbytes >= _LONG_BYTES and 2 * len(kept) <= len(index):
                self._file.seek(0)
                self._file.truncate()
                self._file.write(kept.tobytes())

    def close(self) -> None:
        """Let go of the file. Harmless twice."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
