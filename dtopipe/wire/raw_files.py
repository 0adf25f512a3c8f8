"""The files of a raw output: one, or numbered segments, and the index that finds a block in them.

`archive.dt-raw` in segments is `archive.0001.dt-raw`, `archive.0002.dt-raw`, ..., each complete in itself. The index,
`archive.dt-raw.index`, is a cache: entries of three 64-bit integers, appended with each commit, that say at which byte
of which segment the block of this number begins. Whoever finds it wrong or absent reads the chunks themselves.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

INDEX_SUFFIX = ".index"
_ENTRY = struct.Struct("<3q")
ENTRY = np.dtype([("number", "<i8"), ("segment", "<i8"), ("offset", "<i8")])
# seq of the next chunk; what the monotonic clock shows more than UTC, for the times of gaps; segment, 0 for none
STATE = struct.Struct("<QqI")


def segment_path(path: Path, segment: int) -> Path:
    """The file of that segment; 0 is the output itself."""
    return path if segment == 0 else path.with_name(f"{path.stem}.{segment:04d}{path.suffix}")


def segments_of(path: Path) -> list[int]:
    """The numbers of the segments that are there, in order; 0 alone for an output of one file."""
    pattern = re.compile(re.escape(path.stem) + r"\.(\d{4,})" + re.escape(path.suffix))
    found = sorted(int(match[1]) for file in path.parent.iterdir() if (match := pattern.fullmatch(file.name)))
    return [number for number in found if number] or [0]


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
    return int(STATE.unpack(extra)[2]) if len(extra) == STATE.size else 0
