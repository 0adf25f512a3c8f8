"""The files of a raw output: one, or numbered segments, and the index that finds a block in them.

`archive.dt-raw` in segments is `archive.0001.dt-raw`, `archive.0002.dt-raw`, ..., each complete in itself. The index,
`archive.dt-raw.index`, is a cache: entries of three 64-bit integers, appended with each commit, that say at which byte
of which segment the block of this number begins. Whoever finds it wrong or absent reads the chunks themselves.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

INDEX_SUFFIX = ".index"
_ENTRY = struct.Struct("<3q")
ENTRY = np.dtype([("number", "<i8"), ("segment", "<i8"), ("offset", "<i8")])
_STATE = struct.Struct("<QqI")
_FIRST = struct.Struct("<I")
_QUIET = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class RawState:
    """A raw output's own state at a commit, in its commit record.

    `seq` of the next chunk; `mono_less_utc_ns`: what the monotonic clock shows more than UTC, for the times of gaps;
    `segment` that is written, 0 for the one file; `first_segment` that counts, those before it are retired.
    `has_whole_file`: an output of one file went on in segments, because its file could grow no further.
    `quiet_from`: from there to the end nothing was triggered, of which the files say nothing yet; None where they do.
    """

    seq: int = 0
    mono_less_utc_ns: int = 0
    segment: int = 0
    first_segment: int = 0
    has_whole_file: bool = False
    quiet_from: int | None = None

    @classmethod
    def unpacked(cls, extra: bytes) -> RawState | None:
        """The state in a commit record's extra; None if that is another sink's."""
        has_quiet, first_bytes = divmod(len(extra) - _STATE.size, _QUIET.size)
        if has_quiet not in (0, 1) or first_bytes not in (0, _FIRST.size):
            return None
        state = cls(*_STATE.unpack_from(extra))
        if first_bytes:
            (first,) = _FIRST.unpack_from(extra, _STATE.size)
            state = replace(state, first_segment=first, has_whole_file=first == 0)
        if has_quiet:
            (quiet_from,) = _QUIET.unpack_from(extra, _STATE.size + first_bytes)
            state = replace(state, quiet_from=quiet_from)
        return state

    @property
    def first(self) -> int:
        """The first segment that counts: of one file, or where one file was the first, 0."""
        return self.first_segment or (0 if self.has_whole_file else min(1, self.segment))

    def packed(self) -> bytes:
        """The state for the commit record; with the first segment only where others were before it, or 0 was."""
        first = _FIRST.pack(self.first_segment) if self.first_segment or self.has_whole_file else b""
        quiet = b"" if self.quiet_from is None else _QUIET.pack(self.quiet_from)
        return _STATE.pack(self.seq, self.mono_less_utc_ns, self.segment) + first + quiet


def segment_path(path: Path, segment: int) -> Path:
    """The file of that segment; 0 is the output itself."""
    return path if segment == 0 else path.with_name(f"{path.stem}.{segment:04d}{path.suffix}")


def segments_of(path: Path) -> list[int]:
    """The numbers of the segments that are there, in order; 0 alone for an output of one file."""
    pattern = segment_pattern(path)
    found = sorted(int(match[1]) for file in path.parent.iterdir() if (match := pattern.fullmatch(file.name)))
    return [number for number in found if number] or [0]


def is_in_segments(path: Path) -> bool:
    """True if what is called `path` is there in segments."""
    return not path.exists() and path.parent.is_dir() and segments_of(path) != [0]


def segments_from(path: Path, state: RawState | None) -> list[int]:
    """The segments that are there from the first on that counts, in order, those that no commit names among them.

    `state`: of the last commit. None where there was none yet: what its writer has begun is there all the same.
    """
    if state is None:
        return segments_of(path)
    if not state.segment:
        return [0]
    whole = [0] if state.has_whole_file and path.exists() else []
    return [*whole, *(number for number in segments_of(path) if number >= max(1, state.first))]


def kept_segments(path: Path, extra: bytes) -> list[int]:
    """The segments that are there and count: `extra` is the commit record's own state, empty without one.

    One that was retired may still be there: whoever was to delete it could not, or was killed before. So may one behind
    the last that a commit names, whose writer was killed over its beginning.
    """
    state = RawState.unpacked(extra)
    if state is None:
        return segments_of(path)
    return [number for number in segments_from(path, state) if number <= state.segment]


def absent_segments(path: Path, extra: bytes) -> list[int]:
    """The segments that should be there and are not; without a commit record only those between others are known."""
    there, state = kept_segments(path, extra), RawState.unpacked(extra)
    if state is None:
        first, last = (there[0], there[-1]) if there else (0, -1)
    else:
        first, last = state.first, state.segment
    return sorted(set(range(first, last + 1)) - set(there))


def segment_pattern(path: Path) -> re.Pattern[str]:
    """Matches the names of the segments of the output at `path`; group 1 is the number."""
    return re.compile(re.escape(path.stem) + r"\.(\d{4,})" + re.escape(path.suffix))


def index_path(path: Path) -> Path:
    """Where the index of the output at `path` is."""
    return path.with_name(path.name + INDEX_SUFFIX)


def index_entry(number: int, segment: int, offset: int) -> bytes:
    """One entry."""
    return _ENTRY.pack(number, segment, offset)


def read_index(path: Path) -> NDArray[np.void]:
    """The whole entries of the index beside `path`; empty where there is none."""
    try:
        data = index_path(path).read_bytes()
    except FileNotFoundError:
        data = b""
    return np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)


def segment_in(extra: bytes) -> int:
    """The segment that a commit record's own state names; 0 for none."""
    state = RawState.unpacked(extra)
    return 0 if state is None else state.segment
