"""A file up to one of its footers: its datasets, item by item."""

from __future__ import annotations

import contextlib
import io
import struct
from bisect import bisect_right
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.hdf5.chunk_codec import chunk_items
from dtopipe.sinks.hdf5.stored import Chunks, DamagedFile, FrontBytes, Layout, chunks_of, datasets_of, heap_objects
from dtopipe.sinks.hdf5.structures import SIGNATURE, SUPERBLOCK_BYTES, is_superblock_of

_SEARCHED_BYTES = 2**20
_ROOT_AT = 36
# What a file that is damaged raises.
SPOILT = (OSError, DamagedFile)


class StoredDataset:
    """The items of one dataset; those that were never stored are zero. Raises DamagedFile, OSError."""

    def __init__(self, data: FrontBytes, layout: Layout, heaps: dict[int, dict[int, bytes]]) -> None:
        self._data = data
        self._layout = layout
        self._heaps = heaps
        # Parts of one chunk are asked for one after the other.
        self._last: tuple[int, NDArray[Any]] | None = None

    def __len__(self) -> int:
        return self._layout.n_items

    def __getitem__(self, number: int) -> Any:
        """One item."""
        return self.rows(number, number + 1)[0]

    @property
    def chunk_rows(self) -> int:
        """Items of a chunk. Raises DamagedFile for a dataset that has none."""
        if not self._layout.chunk_items:
            raise DamagedFile("its items are in no chunks")
        return self._layout.chunk_items

    @cached_property
    def chunks(self) -> Chunks:
        """Where they are; none of a dataset whose items stand one behind the other."""
        return chunks_of(self._data, self._layout) if self._layout.chunk_items else Chunks()

    @property
    def is_stored(self) -> bool:
        """False where every item is zero, for none was stored."""
        return bool(self.chunks.found or self.chunks.lost)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """(stop - start,) items."""
        length, parts = self.chunk_rows, []
        for first in range(start // length * length, stop, length):
            part = self._chunk(first)[max(0, start - first) : stop - first]
            parts.append(part)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, self._layout.dtype)

    def texts(self, start: int, stop: int) -> list[str]:
        """The texts of these items; one that is null is empty."""
        known: dict[tuple[int, int, int], str] = {(0, 0, 0): ""}
        places = [tuple(place) for place in self.rows(start, stop).tolist()]
        for place in set(places) - known.keys():
            known[place] = self._text(*place)
        return [known[place] for place in places]

    def bytes(self) -> bytes:
        """All bytes of a dataset without chunks."""
        return self._data.read(self._layout.address, self._layout.n_bytes)

    def _text(self, n_bytes: int, heap: int, number: int) -> str:
        if heap not in self._heaps:
            self._heaps[heap] = heap_objects(self._data, heap)
        text = self._heaps[heap].get(number)
        if text is None or len(text) != n_bytes:
            raise DamagedFile(f"there is no text {number} at byte {heap:,}")
        return text.decode(errors="replace")

    def _chunk(self, first: int) -> NDArray[Any]:
        """All items of the chunk that begins with that one."""
        if self._last is not None and self._last[0] == first:
            return self._last[1]
        if any(start <= first < stop for start, stop in self.chunks.lost):
            raise DamagedFile(f"nothing leads to the items from {first:,} on")
        at = bisect_right(self.chunks.found, first, key=lambda chunk: chunk[1]) - 1
        layout = self._layout
        if at < 0 or self.chunks.found[at][1] != first:
            items = np.zeros(layout.chunk_items, layout.dtype)
        else:
            n_bytes, _, address = self.chunks.found[at]
            stored = self._data.read(address, n_bytes)
            try:
                items = chunk_items(stored, layout.dtype, layout.chunk_items, deflated=layout.deflated)
            except ValueError as error:
                raise DamagedFile(f"the chunk at byte {address:,}: {error}") from error
        self._last = first, items
        return items


class StoredFile:
    """Every dataset of a file that ends before byte `stop`, by this superblock. Raises DamagedFile, OSError."""

    def __init__(self, raw: io.FileIO, stop: int, superblock: bytes) -> None:
        data, heaps = FrontBytes(raw, stop), dict[int, dict[int, bytes]]()
        (root,) = struct.unpack_from("<Q", superblock, _ROOT_AT)
        self.datasets = {path: StoredDataset(data, layout, heaps) for path, layout in datasets_of(data, root).items()}

    def __getitem__(self, path: str) -> StoredDataset:
        if path not in self.datasets:
            raise DamagedFile(f"it has no dataset {path}")
        return self.datasets[path]

    @property
    def lacks_something(self) -> bool:
        """True where no sound node leads to some chunk."""
        return any(dataset.chunks.lost for dataset in self.datasets.values())

    def close(self) -> None:
        """Nothing is held: the file is its opener's."""


def last_footer(raw: io.FileIO, size: int, behind: int = 0) -> tuple[int, Any]:
    """As GroupedReader.last_footer: the last one that leads to everything, else the last whose objects are whole.

    What a power cut has taken of a footer, the one before it may have; what a bad disk has of a node, all footers lack.
    """
    last: tuple[int, StoredFile | None] = 0, None
    stop = size
    while stop > max(behind, 2 * SUPERBLOCK_BYTES):
        raw.seek(stop - SUPERBLOCK_BYTES)
        words = raw.read(SUPERBLOCK_BYTES)
        if is_superblock_of(words, stop):
            with contextlib.suppress(*SPOILT):
                found = StoredFile(raw, stop, words)
                if not found.lacks_something:
                    return stop, found
                last = last if last[0] else (stop, found)
        stop = _copy_before(raw, stop)
    return last


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
