"""The structures of a file of ours, read back without the library of HDF5.

That takes a file at its word: of one that a power cut has damaged it reads beyond what is there, and ends the process.
Here no number of a file counts before it was held against the file: structures by their signatures and checksums,
addresses and sizes by the file's end, items of a B-tree by their order, chunks by their checksums.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dtopipe.sinks.hdf5.checksums import lookup3
from dtopipe.sinks.hdf5.chunk_rows import MOST_CHUNK_ROWS
from dtopipe.sinks.hdf5.columns import TEXT
from dtopipe.sinks.hdf5.structures import (
    CHILDREN,
    CHUNK_KEY,
    DATASPACE,
    DATATYPE,
    FILTERS,
    LAYOUT,
    LINK,
    UNDEFINED,
)

_DEEPEST_GROUP, _HIGHEST_NODE = 4, 12
_OBJECT_HEAD, _NODE_HEAD, _MESSAGE_HEAD = struct.Struct("<4sBBI"), struct.Struct("<4sBBHQQ"), struct.Struct("<BHB")
_HEAP_HEAD, _HEAP_OBJECT = struct.Struct("<4sB3xQ"), struct.Struct("<HHIQ")
_SPOILT = (struct.error, ValueError, TypeError, LookupError)


class DamagedFile(ValueError):
    """Something in the file is not what a writer of ours has put there."""


class FrontBytes:
    """The bytes of a file before byte `stop`."""

    def __init__(self, raw: io.FileIO, stop: int) -> None:
        self._raw = raw
        self.stop = stop

    def read(self, at: int, n_bytes: int) -> bytes:
        """All of these bytes. Raises DamagedFile where they are not there, OSError."""
        if at < 0 or n_bytes < 0 or at + n_bytes > self.stop:
            raise DamagedFile(f"{n_bytes:,} bytes from byte {at:,} on are not in it")
        self._raw.seek(at)
        found = bytearray()
        while len(found) < n_bytes:
            piece = self._raw.read(n_bytes - len(found))
            if not piece:
                raise DamagedFile(f"it ends at byte {at + len(found):,}")
            found += piece
        return bytes(found)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the items of a dataset are. `chunk_items` is 0 for one whose items stand one behind the other."""

    dtype: np.dtype[np.generic]
    n_items: int
    address: int
    n_bytes: int = 0
    chunk_items: int = 0
    deflated: bool = False


@dataclass(frozen=True, slots=True)
class Chunks:
    """Those of a dataset, (bytes, first item, address) by rising first item; `lost`: items that no sound node has."""

    found: tuple[tuple[int, int, int], ...] = ()
    lost: tuple[tuple[int, int], ...] = ()


def datasets_of(data: FrontBytes, root: int) -> dict[str, Layout]:
    """Every dataset by its path. Raises DamagedFile where one of them, or a group, is damaged; OSError."""
    try:
        return dict(_datasets(data, root, "", 0))
    except _SPOILT as error:
        raise error if isinstance(error, DamagedFile) else DamagedFile(str(error)) from error


def _datasets(data: FrontBytes, address: int, path: str, depth: int) -> Iterator[tuple[str, Layout]]:
    messages = list(_messages(data, address))
    if any(kind == LAYOUT for kind, _ in messages):
        yield path, _layout(data, dict(messages))
        return
    if depth > _DEEPEST_GROUP:
        raise DamagedFile("its groups lead to each other")
    for kind, words in messages:
        if kind == LINK:
            (length,) = struct.unpack_from("<I", words, 11)
            name = words[15 : 15 + length].decode()
            (child,) = struct.unpack_from("<Q", words, 15 + length)
            yield from _datasets(data, child, f"{path}/{name}" if path else name, depth + 1)


def _messages(data: FrontBytes, address: int) -> Iterator[tuple[int, bytes]]:
    """(type, words) of an object's header, whose checksum fits."""
    head = data.read(address, _OBJECT_HEAD.size)
    signature, version, flags, length = _OBJECT_HEAD.unpack(head)
    if (signature, version, flags) != (b"OHDR", 2, 0x02):
        raise DamagedFile(f"there is no object at byte {address:,}")
    body = data.read(address + len(head), length + 4)
    if struct.unpack_from("<I", body, length)[0] != lookup3(head + body[:length]):
        raise DamagedFile(f"the object at byte {address:,} does not fit its checksum")
    at = 0
    while at < length:
        kind, size, _ = _MESSAGE_HEAD.unpack_from(body, at)
        at += _MESSAGE_HEAD.size
        yield kind, body[at : at + size]
        at += size


def _layout(data: FrontBytes, messages: dict[int, bytes]) -> Layout:
    space, words = messages[DATASPACE], messages[LAYOUT]
    n_items = struct.unpack_from("<Q", space, 4)[0] if space[1] else 1
    dtype = _dtype(messages[DATATYPE])
    if words[1] == 1:
        address, n_bytes = struct.unpack_from("<QQ", words, 2)
        return Layout(dtype, n_items, address, n_bytes)
    _, tree, chunk_items, item_bytes = struct.unpack_from("<BQII", words, 2)
    if not 0 < chunk_items <= MOST_CHUNK_ROWS or item_bytes != dtype.itemsize:
        raise DamagedFile(f"its chunks have {chunk_items:,} items")
    # A node has a key for each chunk: more of these than fit into the file would be looked for without end.
    if n_items > chunk_items * (data.stop // CHUNK_KEY.itemsize):
        raise DamagedFile(f"it has {n_items:,} items, more than it has room for")
    filters = messages[FILTERS]
    # With shuffle and deflate before the checksum of every chunk, or the latter alone.
    return Layout(dtype, n_items, tree, chunk_items=chunk_items, deflated=filters[1] > 1)


def _dtype(words: bytes) -> np.dtype[np.generic]:
    kind, size = words[0], struct.unpack_from("<I", words, 4)[0]
    if kind == 0x19:
        return TEXT
    if kind == 0x13:
        return np.dtype(f"S{size}")
    if kind not in (0x10, 0x11):
        raise DamagedFile(f"its items are of an unknown type, {kind}")
    letter = "f" if kind == 0x11 else "i" if words[1] & 0x08 else "u"
    return np.dtype(f"<{letter}{size}")


def chunks_of(data: FrontBytes, layout: Layout) -> Chunks:
    """The chunks of a dataset. Raises OSError."""
    if layout.address == UNDEFINED:
        return Chunks()
    found: list[tuple[int, int, int]] = []
    lost: list[tuple[int, int]] = []
    _walk(data, layout, layout.address, None, (0, layout.n_items), found, lost)
    return Chunks(tuple(found), tuple(lost))


def _walk(
    data: FrontBytes,
    layout: Layout,
    address: int,
    level: int | None,
    items: tuple[int, int],
    found: list[tuple[int, int, int]],
    lost: list[tuple[int, int]],
) -> None:
    """One node, which has the chunks of these items, and what is below it; `level` is None for the root."""
    try:
        own_level, keys = _node(data, layout, address, items)
        if own_level > _HIGHEST_NODE or level not in (None, own_level):
            raise DamagedFile(f"the node at byte {address:,} is on a wrong level")
    except _SPOILT:
        lost.append(items)
        return
    firsts = keys["offset"].tolist()
    for size, first, child, end in zip(
        keys["size"].tolist(), firsts, keys["child"].tolist(), [*firsts[1:], items[1]], strict=True
    ):
        if own_level:
            _walk(data, layout, child, own_level - 1, (first, end), found, lost)
        elif size < 4 or child + size > data.stop:
            lost.append((first, end))
        else:
            found.append((size, first, child))


def _node(
    data: FrontBytes, layout: Layout, address: int, items: tuple[int, int]
) -> tuple[int, np.ndarray[tuple[int], np.dtype[np.void]]]:
    """The level of a node, and its keys, which are in order and within `items`."""
    head = data.read(address, _NODE_HEAD.size)
    signature, kind, level, n, _, _ = _NODE_HEAD.unpack(head)
    if (signature, kind) != (b"TREE", 1) or not 0 < n <= CHILDREN:
        raise DamagedFile(f"there is no node at byte {address:,}")
    keys = np.frombuffer(data.read(address + len(head), n * CHUNK_KEY.itemsize), CHUNK_KEY)
    offsets = keys["offset"]
    in_order = bool((offsets[1:] > offsets[:-1]).all() and items[0] <= offsets[0] and offsets[-1] < max(items[1], 1))
    if not in_order or (offsets % layout.chunk_items).any() or keys["in_item"].any() or keys["mask"].any():
        raise DamagedFile(f"the node at byte {address:,} is out of order")
    return level, keys


def heap_objects(data: FrontBytes, address: int) -> dict[int, bytes]:
    """The texts of a global heap by their numbers. Raises DamagedFile, OSError."""
    signature, version, size = _HEAP_HEAD.unpack(data.read(address, _HEAP_HEAD.size))
    if (signature, version) != (b"GCOL", 1):
        raise DamagedFile(f"there are no texts at byte {address:,}")
    words = data.read(address, size)
    found: dict[int, bytes] = {}
    at = _HEAP_HEAD.size
    while at + _HEAP_OBJECT.size <= size:
        number, _, _, length = _HEAP_OBJECT.unpack_from(words, at)
        at += _HEAP_OBJECT.size
        if number == 0:
            return found
        if at + length > size or number != len(found) + 1:
            break
        found[number] = words[at : at + length]
        at += length + -length % 8
    raise DamagedFile(f"the texts at byte {address:,} are out of order")
