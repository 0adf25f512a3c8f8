"""The footer codec against pyarrow's own view of the same metadata."""

from __future__ import annotations

import contextlib
import io
import random
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dtopipe.model.errors import WireError
from dtopipe.sinks.parquet import footer


def table(n_rows: int, seed: int = 0) -> pa.Table:
    numbers = np.random.default_rng(seed)
    return pa.table(
        {
            "sample_index": pa.array(np.arange(n_rows) + 2**40, pa.int64()),
            "value": pa.array(numbers.normal(size=n_rows), mask=numbers.random(n_rows) < 0.1),
            "text": pa.array([f"row {k % 7}" for k in range(n_rows)]),
            "code": pa.array(numbers.integers(-9, 9, n_rows), pa.int16()),
        }
    )


def as_file(content: pa.Table, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(content, out, **options)
    return out.getvalue()


def trailer_start(file: bytes) -> int:
    (footer_bytes,) = struct.unpack("<I", file[-8:-4])
    return len(file) - footer.TRAILER_BYTES - int(footer_bytes)


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False, "row_group_size": 100}, {"write_page_index": True}])
def test_a_footer_of_pyarrow_is_written_back_byte_for_byte(options: dict[str, object]) -> None:
    file = as_file(table(1000), **options)
    assert footer.write_footer(footer.read_footer(file)) == file[trailer_start(file) :]


def test_row_groups_are_counted_as_pyarrow_counts_them() -> None:
    file = as_file(table(1000), row_group_size=300)
    groups = footer.row_groups(footer.read_footer(file))
    theirs = pq.read_metadata(io.BytesIO(file))
    assert [footer.num_rows(group) for group in groups] == [theirs.row_group(k).num_rows for k in range(4)]


def test_row_groups_spliced_from_many_files_read_as_one_file() -> None:
    parts = [table(n_rows, seed) for seed, n_rows in enumerate((1, 999, 70_000))]
    whole = bytearray(footer.MAGIC)
    groups = []
    for ordinal, part in enumerate(parts):
        # Dictionary pages and plain ones, as a chunk's offsets differ between them.
        file = as_file(part, use_dictionary=["text"], compression="zstd")
        start, chunks = len(whole), []
        for chunk in footer.column_parts(file):
            chunks.append(footer.placed(chunk, len(whole)))
            whole += chunk.data
        groups.append(footer.serialise_struct(footer.row_group(chunks, start, part.num_rows, ordinal)))
        whole += b"bytes between row groups belong to nobody"
    metadata = footer.with_row_groups(
        footer.read_footer(as_file(parts[0].replace_schema_metadata({"mine": "kept"}))), groups, 71_000
    )
    whole += footer.write_footer(metadata)

    read = pq.read_table(pa.BufferReader(bytes(whole)))
    assert read.equals(pa.concat_tables(parts))
    theirs = pq.read_metadata(io.BytesIO(bytes(whole)))
    assert theirs.num_rows == 71_000
    assert theirs.metadata[b"mine"] == b"kept"
    assert [theirs.row_group(k).total_byte_size for k in range(3)] == [
        sum(theirs.row_group(k).column(c).total_uncompressed_size for c in range(4)) for k in range(3)
    ]


def test_every_type_of_the_protocol_survives_a_round_trip() -> None:
    fields: footer.Struct = {
        1: (footer.TRUE, True),
        2: (footer.FALSE, False),
        3: (footer.BYTE, 200),
        4: (footer.I16, -(2**15)),
        5: (footer.I32, 2**31 - 1),
        6: (footer.I64, -(2**63)),
        7: (footer.DOUBLE, -0.1),
        40: (footer.BINARY, bytes(range(256))),
        300: (footer.LIST, (footer.I64, list(range(-20, 20)))),
        301: (footer.SET, (footer.TRUE, [1, 2])),
        302: (footer.STRUCT, {1: (footer.LIST, (footer.STRUCT, [{}, {1: (footer.TRUE, True)}]))}),
    }
    data = footer.serialise_struct(fields)
    assert footer.parse_struct(data + b"more") == (fields, len(data))


def test_a_page_index_cannot_be_spliced_and_is_refused() -> None:
    with pytest.raises(WireError, match="page index"):
        footer.column_parts(as_file(table(10), write_page_index=True))


def test_damaged_bytes_give_a_wire_error_and_nothing_else() -> None:
    file = as_file(table(50))
    body = file[trailer_start(file) : -footer.TRAILER_BYTES]
    dice = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(body)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        with contextlib.suppress(WireError):
            footer.parse_struct(bytes(damaged[: dice.randint(0, len(damaged))]))


@pytest.mark.parametrize("file", [b"", b"PAR1", b"PAR1\xff\xff\xff\xffPAR1", b"no Parquet at all"])
def test_what_is_no_parquet_file_is_refused(file: bytes) -> None:
    with pytest.raises(WireError, match="not a Parquet file"):
        footer.read_footer(file)
