"""The footer of a Parquet file: taken apart, shifted to another place, and put together again.

Generic thrift compact protocol (thrift/doc/specs/thrift-compact-protocol.md): a structure is read into a map of
field number to (type, value) and written back byte for byte, so that fields unknown here survive. Field numbers are
those of parquet.thrift of apache/parquet-format. Pure: bytes in, bytes out, no file and no pyarrow.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dtopipe.model.errors import WireError

MAGIC = b"PAR1"
# A footer ends with its own length (uint32le) and the magic.
TRAILER_BYTES = 8

# What begins a bridge: a trailer between two footers, which leads back to the first of them.
_BRIDGE_MARK = b"\0bridge\0"
BRIDGE_BYTES = len(_BRIDGE_MARK) + TRAILER_BYTES

# Types of the compact protocol; a boolean field carries its value in its type.
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_WHOLE_NUMBERS = (I16, I32, I64)
_VARINT_MOST_BYTES = 10
_DEEPEST = 32

Field: TypeAlias = tuple[int, Any]
"""(type, value): whole numbers and BYTE are int, BINARY bytes, LIST and SET (element type, [values]), STRUCT a map.

To be written, a STRUCT may also be the bytes of `serialise_struct`: a map takes thirty times the memory.
"""
Struct: TypeAlias = dict[int, Field]

# FileMetaData
_NUM_ROWS, _ROW_GROUPS = 3, 4
# RowGroup
_COLUMNS, _BYTE_SIZE, _GROUP_ROWS, _GROUP_OFFSET, _COMPRESSED_SIZE, _ORDINAL = 1, 2, 3, 5, 6, 7
# Not a field of parquet.thrift, and near the last one: fastparquet knows the short form of a field's number only.
_ENCLOSED = 15
_LARGEST_ORDINAL = 2**15 - 1
# ColumnChunk
_CHUNK_OFFSET, _CHUNK_META, _PAGE_INDEX_FIELDS = 2, 3, (4, 6)
# ColumnMetaData
_TOTAL_UNCOMPRESSED, _TOTAL_COMPRESSED, _PAGE_OFFSETS, _BLOOM_FILTER = 6, 7, (9, 10, 11), 14


@dataclass(frozen=True, slots=True)
class ColumnPart:
    """One column chunk, to be spliced into another file: its ColumnChunk structure, and `data`, its bytes.

    `first`: where in its own file `data` began.
    """

    chunk: Struct
    first: int
    data: memoryview


def parse_struct(data: bytes | memoryview) -> tuple[Struct, int]:
    """The structure at the start of `data`, and how many bytes it takes. Raises WireError."""
    parser = _Parser(memoryview(data).cast("B"))
    try:
        return parser.struct(), parser.at
    except (IndexError, struct.error) as error:
        raise WireError("a Parquet footer ends in the middle of a structure") from error


def serialise_struct(fields: Mapping[int, Field]) -> bytes:
    """The bytes that `parse_struct` reads back; fields in the order of their numbers."""
    out = bytearray()
    _write_struct(out, fields)
    return bytes(out)


def read_footer(file: bytes | memoryview) -> Struct:
    """The FileMetaData of a whole file, or of any piece that ends with its footer. Raises WireError."""
    view = memoryview(file).cast("B")
    if len(view) < TRAILER_BYTES or bytes(view[-4:]) != MAGIC:
        raise WireError("not a Parquet file: it does not end with PAR1")
    (length,) = struct.unpack("<I", view[-TRAILER_BYTES:-4])
    if length > len(view) - TRAILER_BYTES:
        raise WireError("not a Parquet file: its footer is longer than the file")
    return parse_struct(view[len(view) - TRAILER_BYTES - length : -TRAILER_BYTES])[0]


def write_footer(metadata: Mapping[int, Field]) -> bytes:
    """A FileMetaData with its length and the magic: what a Parquet file ends with."""
    body = serialise_struct(metadata)
    return body + struct.pack("<I", len(body)) + MAGIC


def bridge(length: int) -> bytes:
    """A trailer whose footer began `length` bytes before the bridge. It lies within one page: see `bridge_place`."""
    return _BRIDGE_MARK + struct.pack("<I", length + len(_BRIDGE_MARK)) + MAGIC


def bridge_place(offset: int) -> int:
    """The first place from byte `offset` of a file on where a bridge crosses no page."""
    return -(-offset // BRIDGE_BYTES) * BRIDGE_BYTES


def is_bridge(data: bytes) -> bool:
    """True if these last BRIDGE_BYTES up to a magic are one."""
    return data.startswith(_BRIDGE_MARK)


def enclosing_bridge(words: bytes, last_field: int, offset: int) -> tuple[bytes, int]:
    """A serialised FileMetaData at byte `offset`, up to a bridge that it encloses, and the place of the bridge.

    `last_field`: the highest number of a field in it. Behind the bridge the structure ends with a zero byte.
    """
    # Its head, and its length.
    begin = offset + len(words) + 1
    place = bridge_place(begin)
    head = (_ENCLOSED - last_field) << 4 | BINARY
    return words[:-1] + bytes((head, place + BRIDGE_BYTES - begin)) + bytes(place - begin), place


def without_bridge(metadata: Mapping[int, Field]) -> Struct:
    """The same structure, without the bridge that it encloses."""
    return {number: field for number, field in metadata.items() if number != _ENCLOSED}


def row_groups(metadata: Mapping[int, Field]) -> list[Struct]:
    """The RowGroup structures of a FileMetaData, in order. Raises WireError."""
    kind, groups = metadata.get(_ROW_GROUPS, (STRUCT, None))
    if kind != LIST:
        raise WireError("a Parquet footer has no list of row groups")
    return list(groups[1])


def num_rows(group: Mapping[int, Field]) -> int:
    """Rows of one row group."""
    return int(group[_GROUP_ROWS][1])


def data_bytes(group: Mapping[int, Field]) -> int:
    """What the chunks of one row group take in the file."""
    return sum(int(chunk[_CHUNK_META][1][_TOTAL_COMPRESSED][1]) for chunk in group[_COLUMNS][1][1])


def with_row_groups(metadata: Mapping[int, Field], groups: Sequence[bytes], n_rows: int) -> Struct:
    """The same FileMetaData for other row groups, serialised, of `n_rows` rows in all."""
    return {**metadata, _NUM_ROWS: (I64, n_rows), _ROW_GROUPS: (LIST, (STRUCT, list(groups)))}


def column_parts(file: bytes | memoryview) -> list[ColumnPart]:
    """The column chunks of a complete Parquet file that has one row group. Raises WireError.

    Page indexes and Bloom filters lie outside the chunks and are refused.
    """
    view = memoryview(file).cast("B")
    groups = row_groups(read_footer(view))
    if len(groups) != 1:
        raise WireError(f"a Parquet file of one row group was wanted, not of {len(groups)}")
    parts = []
    for chunk in groups[0][_COLUMNS][1][1]:
        meta = chunk[_CHUNK_META][1]
        if _BLOOM_FILTER in meta or any(field in chunk for field in _PAGE_INDEX_FIELDS):
            raise WireError("a Parquet file with a page index or Bloom filter cannot be spliced")
        first = min(meta[field][1] for field in _PAGE_OFFSETS if field in meta and meta[field][1] > 0)
        data = view[first : first + meta[_TOTAL_COMPRESSED][1]]
        parts.append(ColumnPart(chunk, first, data))
    return parts


def placed(part: ColumnPart, offset: int) -> Struct:
    """The ColumnChunk of a part whose data begin at byte `offset` of a file."""
    meta = dict(part.chunk[_CHUNK_META][1])
    for field in _PAGE_OFFSETS:
        # 0 stands for "not set", and stays so.
        if field in meta and meta[field][1] > 0:
            meta[field] = (I64, meta[field][1] + offset - part.first)
    # Deprecated, and 0 since format 2.10; older writers put the end of the chunk there.
    return {**part.chunk, _CHUNK_OFFSET: (I64, 0), _CHUNK_META: (STRUCT, meta)}


def row_group(chunks: Sequence[Struct], offset: int, n_rows: int, ordinal: int) -> Struct:
    """The RowGroup of placed chunks, the first of which begins at byte `offset`."""
    metas = [chunk[_CHUNK_META][1] for chunk in chunks]
    group: Struct = {
        _COLUMNS: (LIST, (STRUCT, list(chunks))),
        _BYTE_SIZE: (I64, sum(meta[_TOTAL_UNCOMPRESSED][1] for meta in metas)),
        _GROUP_ROWS: (I64, n_rows),
        _GROUP_OFFSET: (I64, offset),
        _COMPRESSED_SIZE: (I64, sum(meta[_TOTAL_COMPRESSED][1] for meta in metas)),
    }
    # Optional, and an i16: a longer file does without.
    if ordinal <= _LARGEST_ORDINAL:
        group[_ORDINAL] = (I16, ordinal)
    return group


class _Parser:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0
        self._depth = 0

    def struct(self) -> Struct:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise WireError("a Parquet footer is nested too deeply")
        fields: Struct = {}
        number = 0
        while head := self._byte():
            kind, step = head & 0x0F, head >> 4
            number = number + step if step else self._zigzag()
            fields[number] = (kind, kind == TRUE if kind in (TRUE, FALSE) else self._value(kind))
        self._depth -= 1
        return fields

    def _value(self, kind: int) -> Any:
        if kind in _WHOLE_NUMBERS:
            return self._zigzag()
        if kind == BINARY:
            return bytes(self._take(self._varint()))
        if kind in (LIST, SET):
            return self._list()
        if kind == STRUCT:
            return self.struct()
        # Inside a list a boolean is a byte of its own.
        if kind in (BYTE, TRUE, FALSE):
            return self._byte()
        if kind == DOUBLE:
            return struct.unpack("<d", self._take(8))[0]
        raise WireError(f"a Parquet footer has a value of unknown type {kind}")

    def _list(self) -> tuple[int, list[Any]]:
        head = self._byte()
        length = head >> 4 if head >> 4 != 0x0F else self._varint()
        if length > len(self._data) - self.at:
            raise WireError("a Parquet footer has a list that is longer than itself")
        return head & 0x0F, [self._value(head & 0x0F) for _ in range(length)]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _take(self, length: int) -> memoryview:
        if length > len(self._data) - self.at:
            raise WireError("a Parquet footer has a value that is longer than itself")
        self.at += length
        return self._data[self.at - length : self.at]

    def _varint(self) -> int:
        value = 0
        for position in range(_VARINT_MOST_BYTES):
            byte = self._byte()
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                return value
        raise WireError("a Parquet footer has a number without an end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _write_struct(out: bytearray, fields: Mapping[int, Field]) -> None:
    last = 0
    for number, (kind, value) in sorted(fields.items()):
        if kind in (TRUE, FALSE):
            kind = TRUE if value else FALSE
        if 0 < number - last <= 0x0F:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _write_varint(out, _zigzagged(number))
        last = number
        if kind not in (TRUE, FALSE):
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _WHOLE_NUMBERS:
        _write_varint(out, _zigzagged(value))
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind in (LIST, SET):
        _write_list(out, *value)
    elif kind == STRUCT and isinstance(value, bytes):
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind == DOUBLE:
        out += struct.pack("<d", value)
    else:
        out.append(value)


def _write_list(out: bytearray, kind: int, values: Sequence[Any]) -> None:
    if len(values) < 0x0F:
        out.append(len(values) << 4 | kind)
    else:
        out.append(0xF0 | kind)
        _write_varint(out, len(values))
    for value in values:
        _write_value(out, kind, value)


def _write_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _zigzagged(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1
