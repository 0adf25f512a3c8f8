"""The structures of the HDF5 file format that a file of ours is made of, as bytes.

All are of the HDF5 File Format Specification, version 3.0, and known to every library since HDF5 1.8 (2008): superblock
version 2, object headers version 2, groups of links in their header, chunks found by a B-tree version 1, attributes in
their object's header, a global heap for texts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.hdf5.checksums import lookup3

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES = 48
UNDEFINED = 2**64 - 1
# Of a B-tree over chunks, where the superblock does not say otherwise: twice 32.
CHILDREN = 64
# What a message of an object's header says.
DATASPACE, LINK_INFO, DATATYPE, FILL, LINK, LAYOUT = 0x01, 0x02, 0x03, 0x05, 0x06, 0x08
GROUP_INFO, FILTERS, ATTRIBUTE = 0x0A, 0x0B, 0x0C
_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3

Message = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class DataType:
    """A type of items: as the file says it, and how many bytes one takes."""

    words: bytes
    item_bytes: int


def number_type(dtype: str) -> DataType:
    """The type of a little-endian numpy integer, or float64."""
    kind = np.dtype(dtype)
    bits = kind.itemsize * 8
    if kind.kind == "f":
        words = struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 63, 0, 8, 0, 64, 52, 11, 0, 52, 1023)
    else:
        signed = 0x08 if kind.kind == "i" else 0
        words = struct.pack("<BBBBIHH", 0x10, signed, 0, 0, kind.itemsize, 0, bits)
    return DataType(words, kind.itemsize)


def text_type(n_bytes: int) -> DataType:
    """A text of so many bytes of UTF-8, ended by zeros."""
    n_bytes = max(1, n_bytes)
    return DataType(struct.pack("<BBBBI", 0x13, 0x11, 0, 0, n_bytes), n_bytes)


def any_text_type() -> DataType:
    """Texts of any length, in a global heap."""
    return DataType(struct.pack("<BBBBI", 0x19, 0x01, 0x01, 0, 16) + number_type("u1").words, 16)


def superblock(root: int, stop: int) -> bytes:
    """The superblock of a file whose root group is at byte `root` and which ends before byte `stop`."""
    words = SIGNATURE + struct.pack("<BBBBQQQQ", 2, 8, 8, 0, 0, UNDEFINED, stop, root)
    return words + struct.pack("<I", lookup3(words))


def is_superblock_of(words: bytes, stop: int) -> bool:
    """True if this is the superblock of a file that ends before byte `stop`."""
    if len(words) != SUPERBLOCK_BYTES or not words.startswith(SIGNATURE) or words[8] != 2:
        return False
    (told,) = struct.unpack_from("<I", words, SUPERBLOCK_BYTES - 4)
    return bool(told == lookup3(words[:-4]) and struct.unpack_from("<Q", words, 28)[0] == stop)


def object_header(messages: Iterable[Message]) -> bytes:
    """A group or dataset of these messages."""
    body = b"".join(struct.pack("<BHB", kind, len(words), 0) + words for kind, words in messages)
    words = b"OHDR" + struct.pack("<BBI", 2, 0x02, len(body)) + body
    return words + struct.pack("<I", lookup3(words))


def group(links: Sequence[tuple[str, int]], attributes: Iterable[Message] = ()) -> bytes:
    """A group of these (name, address), listed in their order."""
    messages: list[Message] = [
        (LINK_INFO, struct.pack("<BBQQQ", 0, 0x01, len(links), UNDEFINED, UNDEFINED)),
        (GROUP_INFO, b"\0\0"),
    ]
    for number, (name, address) in enumerate(links):
        text = name.encode()
        # Order of creation, character set, and a length in four bytes.
        words = struct.pack("<BBQBI", 1, 0x04 | 0x10 | 0x02, number, 1, len(text)) + text + struct.pack("<Q", address)
        messages.append((LINK, words))
    return object_header([*messages, *attributes])


def attribute(name: str, kind: DataType, value: bytes, n_items: int | None = None) -> Message:
    """One value, or with `n_items` a row of them."""
    text = name.encode() + b"\0"
    space = _dataspace(n_items)
    head = struct.pack("<BBHHHB", 3, 0, len(text), len(kind.words), len(space), 1)
    return ATTRIBUTE, head + text + kind.words + space + value


def text_attribute(name: str, reference: bytes) -> Message:
    """A text of a global heap."""
    return attribute(name, any_text_type(), reference)


def number_attribute(name: str, dtype: str, *values: float) -> Message:
    """One number, or a row of two and more."""
    return attribute(name, number_type(dtype), np.array(values, dtype).tobytes(), len(values) if values[1:] else None)


def array_dataset(kind: DataType, address: int, n_items: int | None, attributes: Iterable[Message] = ()) -> bytes:
    """A dataset whose items stand one behind the other from byte `address` on; `n_items` None for a single one."""
    n_bytes = kind.item_bytes * (1 if n_items is None else n_items)
    layout = struct.pack("<BBQQ", 3, 1, address if n_bytes else UNDEFINED, n_bytes)
    fill = struct.pack("<BB", 3, 2 | 2 << 2)
    return object_header(
        [(DATASPACE, _dataspace(n_items)), (DATATYPE, kind.words), (FILL, fill), (LAYOUT, layout), *attributes]
    )


def chunked_dataset(
    kind: DataType, tree: int, n_items: int, chunk_items: int, *, deflated: bool, attributes: Iterable[Message] = ()
) -> bytes:
    """A dataset in chunks, which the B-tree at byte `tree` finds; what is in no chunk is zero."""
    layout = struct.pack("<BBBQII", 3, 2, 2, tree, chunk_items, kind.item_bytes)
    fill = struct.pack("<BB", 3, 3 | 2 << 2)
    filters = [(_SHUFFLE, (kind.item_bytes,)), (_DEFLATE, (1,))] if deflated else []
    words = b"".join(
        struct.pack(f"<HHH{len(values)}I", number, 0, len(values), *values)
        for number, values in (*filters, (_FLETCHER32, ()))
    )
    pipeline = struct.pack("<BB", 2, len(filters) + 1) + words
    space = _dataspace(n_items, growing=True)
    return object_header(
        [
            (DATASPACE, space), (DATATYPE, kind.words), (FILL, fill), (LAYOUT, layout), (FILTERS, pipeline),
            *attributes,
        ]
    )  # fmt: skip


CHUNK_KEY = np.dtype([("size", "<u4"), ("mask", "<u4"), ("offset", "<u8"), ("in_item", "<u8"), ("child", "<u8")])


def tree_node(level: int, keys: NDArray[np.void], end: int, item_bytes: int, left: int, right: int) -> bytes:
    """A node of a B-tree over chunks. `keys`: of CHUNK_KEY, one a child; `end`: the item behind them."""
    head = b"TREE" + struct.pack("<BBHQQ", 1, level, len(keys), left, right)
    room = bytes((CHILDREN - len(keys)) * CHUNK_KEY.itemsize)
    return head + keys.tobytes() + struct.pack("<IIQQ", 0, 0, end, item_bytes) + room


def heap_collection(texts: Sequence[bytes]) -> bytes:
    """A global heap of these objects, which are numbered from 1."""
    objects = b"".join(
        struct.pack("<HHIQ", number, 1, 0, len(text)) + text + bytes(-len(text) % 8)
        for number, text in enumerate(texts, start=1)
    )
    size = max(4096, 16 + len(objects) + 16)
    size += -size % 8
    free = size - 16 - len(objects)
    words = b"GCOL" + struct.pack("<B3xQ", 1, size) + objects + struct.pack("<HHIQ", 0, 0, 0, free)
    return words.ljust(size, b"\0")


def _dataspace(n_items: int | None, *, growing: bool = False) -> bytes:
    if n_items is None:
        return struct.pack("<BBBB", 2, 0, 0, 0)
    if not growing:
        return struct.pack("<BBBBQ", 2, 1, 0, 1, n_items)
    return struct.pack("<BBBBQQ", 2, 1, 1, 1, n_items, UNDEFINED)
