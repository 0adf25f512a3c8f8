"""A file up to one of its footers, as the library of HDF5 reads it."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from dtopipe.sinks.grouped.front import FileFront
from dtopipe.sinks.hdf5.chunk_index import Chunk
from dtopipe.sinks.hdf5.h5py_extra import h5py
from dtopipe.sinks.hdf5.structures import SIGNATURE, SUPERBLOCK_BYTES, is_superblock_of

_SEARCHED_BYTES = 2**20
# What h5py raises about a file that is damaged.
SPOILT = (OSError, KeyError, RuntimeError, ValueError)


def opened_front(raw: io.FileIO, stop: int, superblock: bytes) -> Any:
    """The file that ends before byte `stop`, by this superblock. Raises SPOILT."""
    return h5py.File(FileFront(raw, stop, superblock), "r")


def stored_chunks(dataset: Any) -> list[Chunk]:
    """Its chunks, in order. Raises SPOILT."""
    found: list[Chunk] = []

    def add(info: Any) -> None:
        found.append((info.size, info.chunk_offset[0], info.byte_offset))

    dataset.id.chunk_iter(add)
    return sorted(found, key=lambda chunk: chunk[1])


def last_footer(raw: io.FileIO, size: int, behind: int = 0) -> tuple[int, Any]:
    """As GroupedReader.last_footer."""
    stop = size
    while stop > max(behind, 2 * SUPERBLOCK_BYTES):
        raw.seek(stop - SUPERBLOCK_BYTES)
        words = raw.read(SUPERBLOCK_BYTES)
        if is_superblock_of(words, stop):
            with contextlib.suppress(*SPOILT):
                file = opened_front(raw, stop, words)
                # Every object, for one that cannot be read leads back to a footer before.
                file.visititems(_opened)
                return stop, file
        stop = _copy_before(raw, stop)
    return 0, None


def _opened(name: str, item: Any) -> None:
    return None


def _copy_before(raw: io.FileIO, stop: int) -> int:
    """The byte behind the last copy of a superblock that ends before byte `stop`; 0 where there is none."""
    end = stop - SUPERBLOCK_BYTES - 1 + len(SIGNATURE)
    while end > len(SIGNATURE):
        begin = max(0, end - _SEARCHED_BYTES)
        raw.seek(begin)
        at = raw.read(end - begin).rfind(SIGNATURE)
        if at >= 0:
            return begin + at + SUPERBLOCK_BYTES
        # A signature may lie across the border.
        end = begin + len(SIGNATURE) - 1 if begin else 0
    return 0
