"""The Parquet output: one file for any reader, and what is committed between its row groups."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recordings import ANCHOR, AWKWARD_NAMES, block, blocks, codes_of, gap, recorded

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import OutputLocked, SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Block, Channel, SensorStatus, Stream
from dtopipe.sinks.contract import OutputOptions, OutputReader
from dtopipe.sinks.parquet.arrays import arrow_array, numbers_of, repeated_text, text_array
from dtopipe.sinks.parquet.reader import ParquetReader
from dtopipe.sinks.parquet.writer import ParquetWriter

SCALE, OFFSET = 10 / 65536, 0.25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.parquet"


def tail_of(path: Path) -> Path:
    return Path(f"{path}.tail")


@contextlib.contextmanager
def writing(
    path: Path, stream: Stream, layout: Layout = Layout.WIDE, on_exists: OnExists = OnExists.ERROR, **options: Any
) -> Iterator[ParquetWriter]:
    writer = ParquetWriter(OutputOptions(path, layout, on_exists), **options)
    writer.open(stream, 0, resume=False)
    try:
        yield writer
    finally:
        writer.abandon()


def written(path: Path, stream: Stream, n_samples: int = 250, **options: Any) -> None:
    with writing(path, stream, **options) as writer:
        for item in blocks(stream, 0, n_samples):
            writer.append([item])
            writer.commit()
        writer.close()


def read(reader: OutputReader) -> dict[int, tuple[list[int], list[float]]]:
    """{channel: (sample indices, values)}, in the order of the file."""
    found: dict[int, tuple[list[int], list[float]]] = {}
    for batch in reader.batches():
        for number, values in enumerate(batch.values):
            index, all_values = found.setdefault(number if batch.channel is None else batch.channel, ([], []))
            index += batch.sample_index.tolist()
            all_values += values.tolist()
    return found


def assert_holds_the_counter(path: Path, stream: Stream, stop: int) -> None:
    """Every sample from 0 to `stop` once, in order, in every channel."""
    found = read(ParquetReader(path))
    wanted = codes_of(len(stream.channels), 0, stop) * SCALE + OFFSET
    for number in range(len(stream.channels)):
        index, values = found.get(number, ([], []))
        assert index == list(range(stop))
        assert values == wanted[number].tolist()


def test_rows_are_in_channel_units_with_the_types_of_the_contract(path: Path) -> None:
    stream = recorded()
    written(path, stream)
    table = pq.read_table(path)
    assert table.schema.types == [pa.int64(), pa.int64(), pa.timestamp("ns", "UTC"), pa.float64(), pa.float64()]
    assert table.column_names == ["sample_index", "t_mono_ns", "t_utc", "flux", "tc1"]
    index = np.arange(250)
    wanted = codes_of(2, 0, 250) * SCALE + OFFSET
    np.testing.assert_array_equal(table["sample_index"].to_numpy(), index)
    np.testing.assert_array_equal(table["t_mono_ns"].to_numpy(), ANCHOR.t_mono_ns + index * 1_000_000)
    np.testing.assert_array_equal(table["t_utc"].cast(pa.int64()).to_numpy(), ANCHOR.t_utc_ns + index * 1_000_000)
    np.testing.assert_array_equal(np.array([table["flux"].to_numpy(), table["tc1"].to_numpy()]), wanted)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_raw_codes_keep_their_type_and_are_null_where_the_sensor_is_not_ok(path: Path, dtype: str) -> None:
    stream = recorded(kind="raw", dtype=dtype)
    status = np.zeros((2, 50), np.int8)
    status[0, 7] = SensorStatus.HIGH
    with writing(path, stream) as writer:
        writer.append([block(stream, 0, 50), block(stream, 50, 100, status=status)])
        writer.close()
    table = pq.read_table(path)
    codes = codes_of(2, 0, 100, dtype).tolist()
    assert str(table.schema.field("flux").type) == dtype
    assert table["flux"].to_pylist() == [*codes[0][:57], None, *codes[0][58:]]
    assert table["tc1"].to_pylist() == codes[1]


def test_units_scales_gaps_and_the_run_are_in_the_metadata_of_the_file(path: Path) -> None:
    stream = recorded(simulated=True)
    with writing(path, stream, compression="snappy") as writer:
        writer.append([block(stream, 0, 10), gap(stream, 10, 30, Cause.POLICY_DROP)])
        writer.close()
    schema = pq.read_schema(path)
    assert schema.field("tc1").metadata == {
        b"unit": b"V", b"kind": b"voltage", b"range": b"[-5.0, 5.0]",
        b"scale": repr(SCALE).encode(), b"offset": b"0.25",
    }  # fmt: skip
    told = json.loads(schema.metadata[b"dtopipe"])
    assert told["gaps"] == [[10, 30, "policy_drop", ANCHOR.t_utc_ns + 10_000_000]]
    assert told["complete"] is True
    assert told["stream"]["run_id"] == "run-1"
    assert told["stream"]["simulated"] is True
    assert told["stream"]["metadata"] == {"operator": "Zoë"}
    assert told["position"] == {
        "start": 0, "committed": 30, "durable": 30, "samples": 10, "gap_samples": 20, "dropped": 20,
        "retained_from": 0,
    }  # fmt: skip


@pytest.mark.parametrize("layout", list(Layout))
def test_awkward_channel_names_come_out_unharmed(path: Path, layout: Layout) -> None:
    stream = recorded((*AWKWARD_NAMES, "a.b", "nul\0"))
    written(path, stream, layout=layout)
    table = pq.read_table(path)
    names = table.column_names[3:] if layout is Layout.WIDE else list(dict.fromkeys(table["channel"].to_pylist()))
    assert names == [channel.name for channel in stream.channels]
    assert_holds_the_counter(path, stream, 250)


@pytest.mark.parametrize(("names", "culprit"), [(("a", "t_utc"), "'t_utc'"), (("\ud800",), "Unicode")])
def test_names_that_cannot_be_columns_are_refused_before_anything_is_made(
    path: Path, names: tuple[str, ...], culprit: str
) -> None:
    with pytest.raises(SinkError, match=culprit):
        ParquetWriter(OutputOptions(path)).open(recorded(names), 0, resume=False)
    assert list(path.parent.iterdir()) == []


def test_the_long_layout_has_the_columns_of_the_contract(path: Path) -> None:
    stream = recorded(("a", "b"))
    status = np.zeros((2, 5), np.int8)
    status[1, 2] = SensorStatus.OPEN
    with writing(path, stream, Layout.LONG) as writer:
        writer.append([block(stream, 0, 5, index=8, status=status), block(stream, 5, 9, index=9)])
        writer.close()
    table = pq.read_table(path)
    assert table.column_names == [
        "device", "task", "channel", "block_index", "sample_index", "t_mono_ns", "t_utc", "value", "unit",
        "error_type", "error_message",
    ]  # fmt: skip
    assert table["channel"].to_pylist() == ["a"] * 9 + ["b"] * 9
    assert table["block_index"].to_pylist() == ([8] * 5 + [9] * 4) * 2
    assert table["sample_index"].to_pylist() == [*range(9)] * 2
    assert table["value"].is_null().to_pylist() == [False] * 11 + [True] + [False] * 6
    assert [text is None for text in table["error_message"].to_pylist()] == [True] * 11 + [False] + [True] * 6
    assert set(table["unit"].to_pylist()) == {"V"}


@pytest.mark.parametrize("layout", list(Layout))
def test_times_follow_each_epochs_anchor_over_gaps_and_row_groups(path: Path, layout: Layout) -> None:
    stream = recorded()
    later = Anchor(1000, 77_000_000_000, 1_763_999_999_000_000_000)
    with writing(path, stream, layout, row_group_size=64) as writer:
        writer.append([*blocks(stream, 0, 130, 7), gap(stream, 130, 1000, Cause.ACQUIRER_RESTART)])
        writer.append([replace(item, anchor=later) for item in blocks(stream, 1000, 1100, 9)])
        writer.close()
    for batch in ParquetReader(path).batches():
        for index, t_mono_ns, t_utc_ns in zip(batch.sample_index, batch.t_mono_ns, batch.t_utc_ns, strict=True):
            anchor = ANCHOR if index < 1000 else later
            offset = (index - anchor.sample_index) * 1_000_000
            assert (t_mono_ns, t_utc_ns) == (anchor.t_mono_ns + offset, anchor.t_utc_ns + offset)


def test_values_are_split_into_byte_streams_and_times_are_packed_as_differences(path: Path) -> None:
    written(path, recorded())
    group = pq.read_metadata(path).row_group(0)
    assert ["BYTE_STREAM_SPLIT" in group.column(number).encodings for number in range(5)] == [False] * 3 + [True] * 2
    assert ["DELTA_BINARY_PACKED" in group.column(n).encodings for n in range(5)] == [True] * 3 + [False] * 2
    assert {group.column(number).compression for number in range(5)} == {"ZSTD"}


def test_row_groups_have_about_the_size_that_was_asked_for(path: Path) -> None:
    stream = recorded()
    written(path, stream, 20_000, row_group_size=3000)
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sum(sizes) == 20_000
    assert all(2000 <= size <= 4500 for size in sizes)
    assert_holds_the_counter(path, stream, 20_000)


def test_any_reader_opens_the_file_behind_every_commit(path: Path) -> None:
    stream = recorded()
    with writing(path, stream, row_group_size=4000, compression="none") as writer:
        assert pq.read_table(path).num_rows == 0
        seen = set()
        for item in blocks(stream, 0, 24_000, 2000):
            writer.append([item])
            writer.commit()
            rows = pq.read_table(path)["sample_index"].to_pylist()
            assert rows == list(range(len(rows)))
            assert ParquetReader(path).position().committed == item.span.stop
            seen.add(len(rows))
        assert len(seen) > 3
        assert_holds_the_counter(path, stream, 24_000)
        writer.close()
    assert_holds_the_counter(path, stream, 24_000)


class PageByPage(io.FileIO):
    """A file that is looked at behind every page that is written to it, as a reader may see it."""

    def __init__(self, fd: int, looks: list[int]) -> None:
        super().__init__(fd, "r+b")
        self._looks = looks

    def write(self, data: Any) -> int:
        to_the_end_of_a_page = 4096 - self.tell() % 4096
        n_bytes = super().write(memoryview(data)[:to_the_end_of_a_page])
        self._looks.append(seen_by_every_reader(Path(f"/proc/self/fd/{self.fileno()}").resolve()))
        return n_bytes


def seen_by_every_reader(path: Path) -> int:
    """How many rows each reader finds."""
    with contextlib.closing(duckdb.connect()) as connection:
        ((in_duckdb,),) = connection.execute(f"SELECT count(*) FROM '{path}'").fetchall()
    found: set[int] = {pq.read_table(path).num_rows, pl.read_parquet(path).height, in_duckdb}
    with path.open("rb") as file:
        found.add(fastparquet.ParquetFile(file).count())
    assert len(found) == 1
    return found.pop()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_any_reader_opens_the_file_at_any_instant(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(os, "fdopen", lambda fd, *_: PageByPage(fd, looks))
    stream = recorded(("a", "b", "c"))
    with writing(path, stream, row_group_size=2000, compression="none") as writer:
        for item in blocks(stream, 0, 12_000, 500):
            writer.append([item])
            writer.commit()
        writer.close()
    assert len(looks) > 50
    assert looks == sorted(looks)
    assert set(looks) == {0, *range(2000, 12_001, 2000)}


def test_the_last_footer_is_repeated_where_a_row_group_is_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dtopipe.sinks.parquet.file._FARTHEST_BYTES", 1000)
    monkeypatch.setattr("dtopipe.sinks.parquet.file._JOINED_BYTES", 1000)
    stream = recorded(tuple(f"ch{number}" for number in range(40)))
    written(path, stream, 3000, row_group_size=1000, compression="none")
    assert_holds_the_counter(path, stream, 3000)
    assert seen_by_every_reader(path) == 3000
    with writing(path.with_name("other.parquet"), stream, row_group_size=1000) as writer:
        writer.append(blocks(stream, 0, 1500))
        writer.commit()
    successor = ParquetWriter(OutputOptions(path.with_name("other.parquet")), row_group_size=1000)
    assert successor.open(stream, 0, resume=True).committed == 1500
    successor.append(blocks(stream, 1500, 3000))
    successor.close()
    assert_holds_the_counter(path.with_name("other.parquet"), stream, 3000)
    assert seen_by_every_reader(path.with_name("other.parquet")) == 3000


def test_footers_that_are_no_longer_the_last_take_little_of_the_file(path: Path) -> None:
    stream = recorded(tuple(f"ch{number}" for number in range(16)))
    written(path, stream, 20_000, row_group_size=100)
    metadata = pq.read_metadata(path)
    used = sum(
        metadata.row_group(group).column(column).total_compressed_size
        for group in range(metadata.num_row_groups)
        for column in range(19)
    )
    last_footer = int.from_bytes(path.read_bytes()[-8:-4], "little")
    assert metadata.num_row_groups > 100
    # One behind each row group would be 38 MB of them.
    assert path.stat().st_size - used - last_footer < 2**18 + last_footer


def test_a_sync_between_append_and_commit_makes_only_the_committed_durable(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append(blocks(stream, 0, 100))
        writer.commit()
        writer.append([*blocks(stream, 100, 200), gap(stream, 200, 250)])
        assert writer.sync() == Position(0, 100, 100, 100)
        assert writer.commit() == Position(0, 250, 100, 200, 50)
        assert writer.close() == Position(0, 250, 250, 200, 50)


def test_only_the_file_and_its_record_are_left(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append(blocks(stream, 0, 100))
        writer.commit()
        assert tail_of(path).stat().st_size > 0
        writer.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["run.parquet", "run.parquet.dtopipe"]


def test_a_file_without_samples_is_whole(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append([gap(stream, 0, 50)])
        assert writer.close() == Position(0, 50, 50, 0, 50, 0)
    assert pq.read_table(path).num_rows == 0
    assert ParquetReader(path).gaps() == (gap(stream, 0, 50),)


def test_a_copy_of_the_file_alone_says_everything(path: Path, tmp_path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append([*blocks(stream, 0, 100), gap(stream, 100, 120)])
        writer.close()
    copy = tmp_path / "elsewhere.parquet"
    shutil.copyfile(path, copy)
    reader = ParquetReader(copy, "run-1")
    assert reader.position() == Position(0, 120, 120, 100, 20)
    assert list(reader.gaps()) == [gap(stream, 100, 120)]
    assert_holds_the_counter(copy, stream, 100)
    with pytest.raises(SinkError, match="run-1"):
        ParquetReader(copy, "run-2").position()


@pytest.mark.parametrize("layout", list(Layout))
def test_what_was_committed_is_read_although_the_file_was_never_closed(path: Path, layout: Layout) -> None:
    stream = recorded()
    status = np.zeros((2, 100), np.int8)
    status[0] = SensorStatus.OPEN
    with writing(path, stream, layout, row_group_size=400) as writer:
        special = block(stream, 1100, 1200, status=status)
        items: list[Block | Gap] = [*blocks(stream, 0, 1000), gap(stream, 1000, 1100), special]
        for item in items:
            writer.append([item])
            writer.commit()
        writer.append(blocks(stream, 1200, 1300))
    reader = ParquetReader(path)
    assert reader.position() == Position(0, 1200, 0, 1100, 100)
    assert list(reader.gaps()) == [gap(stream, 1000, 1100)]
    found = read(reader)
    assert [found[number][0] for number in (0, 1)] == [[*range(1000), *range(1100, 1200)]] * 2
    assert np.isnan(found[0][1][1000:]).all()
    assert not np.isnan(found[1][1]).any()


@pytest.mark.parametrize("cut", ["row group", "footer", "record", "tail"])
def test_a_kill_in_the_middle_of_a_row_group_is_cut_away(path: Path, cut: str) -> None:
    stream = recorded()
    with writing(path, stream, row_group_size=1000) as writer:
        writer.append(blocks(stream, 0, 1500))
        writer.commit()
        writer.append(blocks(stream, 1500, 1700))
        writer.commit()
        before = {file: file.read_bytes() for file in path.parent.iterdir()}
        writer.append(blocks(stream, 1700, 9000))
        writer.commit()
    after = path.read_bytes()
    assert after.startswith(before[path])
    added = after[len(before[path]) :]
    for kept, content in before.items():
        kept.write_bytes(content)
    with path.open("ab") as file:
        file.write(added[: {"row group": len(added) // 3, "footer": -5, "record": len(added), "tail": 0}[cut]])
    with tail_of(path).open("ab") as file:
        file.write(b"half a frame")
    assert_holds_the_counter(path, stream, 1700)
    successor = ParquetWriter(OutputOptions(path), row_group_size=1000)
    assert successor.open(stream, 0, resume=True) == Position(0, 1700, 0, 1700)
    assert pq.read_table(path).num_rows == 1500
    successor.append(blocks(stream, 1700, 2500))
    assert successor.close() == Position(0, 2500, 2500, 2500)
    assert_holds_the_counter(path, stream, 2500)
    assert pq.read_table(path)["sample_index"].to_pylist() == list(range(2500))


def test_a_kill_before_the_tail_is_emptied_doubles_nothing(path: Path) -> None:
    stream = recorded()
    with writing(path, stream, row_group_size=1000) as writer:
        writer.append(blocks(stream, 0, 900))
        writer.commit()
        tail = tail_of(path).read_bytes()
        writer.append(blocks(stream, 900, 1200))
        writer.commit()
        assert tail_of(path).stat().st_size == 0
    tail_of(path).write_bytes(tail)
    assert_holds_the_counter(path, stream, 1200)
    successor = ParquetWriter(OutputOptions(path), row_group_size=1000)
    assert successor.open(stream, 0, resume=True).committed == 1200
    successor.append(blocks(stream, 1200, 1300))
    successor.close()
    assert_holds_the_counter(path, stream, 1300)


def test_a_full_disk_while_a_row_group_is_written_loses_nothing(path: Path) -> None:
    resource = pytest.importorskip("resource")
    stream = recorded(("a", "b", "c", "d"))
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_parquet import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
stream = recorded(("a", "b", "c", "d"))
with writing(path, stream, row_group_size=4000, compression="none") as writer:
    writer.append(blocks(stream, 0, 3900))
    writer.commit()
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (tail_of(path).stat().st_size + 20_000, limits[1]))
    writer.append(blocks(stream, 3900, 5000))
    with pytest.raises(SinkError):
        writer.commit()
    assert path.stat().st_size == size
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert writer.commit().committed == 5000
    writer.close()
"""
    assert resource
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert_holds_the_counter(path, stream, 5000)


def test_a_file_of_another_run_is_not_appended_to(path: Path) -> None:
    written(path, recorded())
    before = path.read_bytes()
    with pytest.raises(SinkError, match="holds one run"):
        written(path, recorded(run_id="run-2"), on_exists=OnExists.APPEND)
    assert path.read_bytes() == before


def test_a_renamed_output_takes_its_tail_along(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append(blocks(stream, 0, 100))
        writer.commit()
    written(path, recorded(run_id="run-2"), 300, on_exists=OnExists.RENAME)
    assert_holds_the_counter(path.with_name("run.1.parquet"), stream, 100)
    assert_holds_the_counter(path, stream, 300)


def test_two_writers_never_meet(path: Path) -> None:
    stream = recorded()
    with writing(path, stream):
        for on_exists in (OnExists.OVERWRITE, OnExists.RENAME):
            with pytest.raises(OutputLocked), writing(path, stream, on_exists=on_exists):
                pass
        with pytest.raises(OutputLocked):
            ParquetWriter(OutputOptions(path)).open(stream, 0, resume=True)
    assert path.exists()


@pytest.mark.parametrize("options", [{"compression": "zip"}, {"row_group_size": 0}])
def test_options_that_mean_nothing_are_refused(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(SinkError):
        ParquetWriter(OutputOptions(path), **options)


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_columns_of_few_different_values_have_dictionaries_unless_told_otherwise(
    path: Path, use_dictionary: bool
) -> None:
    stream = recorded()
    few = np.stack([np.arange(1000) // 100, np.arange(1000)]).astype(np.int16)
    writer = ParquetWriter(OutputOptions(path), use_dictionary=use_dictionary)
    writer.open(stream, 0, resume=False)
    writer.append([Block(0, 0, few, ANCHOR)])
    writer.close()
    columns = [pq.read_metadata(path).row_group(0).column(number) for number in (3, 4)]
    assert ["RLE_DICTIONARY" in column.encodings for column in columns] == [use_dictionary, False]
    np.testing.assert_array_equal(pq.read_table(path)["flux"].to_numpy(), few[0] * (10 / 65536) + 0.25)


@pytest.mark.parametrize("layout", list(Layout))
def test_plain_encodings_are_read_by_readers_that_lack_the_newer_ones(path: Path, layout: Layout) -> None:
    stream = recorded()
    with writing(path, stream, layout, encoding="plain", row_group_size=1000) as writer:
        for item in blocks(stream, 0, 2500, 500):
            writer.append([item])
            writer.commit()
        writer.close()
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    used = {each for group in groups for n in range(metadata.num_columns) for each in group.column(n).encodings}
    assert used <= {"PLAIN", "RLE", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
    assert {group.column(n).compression for group in groups for n in range(metadata.num_columns)} == {"SNAPPY"}
    assert_holds_the_counter(path, stream, 2500)
    with path.open("rb") as file:
        frame = fastparquet.ParquetFile(file).to_pandas()
    assert len(frame) == 2500 * (1 if layout is Layout.WIDE else 2)
    assert frame["sample_index"].tolist() == pq.read_table(path)["sample_index"].to_pylist()


def test_values_that_all_differ_are_compressed_no_worse_for_a_shorter_search(path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 50_000))
    writer = ParquetWriter(OutputOptions(path))
    writer.open(recorded(dtype="float64", kind="raw"), 0, resume=False)
    writer.append([Block(0, 0, values, ANCHOR)])
    writer.close()
    column = pq.read_metadata(path).row_group(0).column(3)
    assert column.total_compressed_size < 0.95 * values[0].nbytes
    np.testing.assert_array_equal(pq.read_table(path)["flux"].to_numpy(), values[0])


def test_without_pyarrow_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from dtopipe.model.errors import SinkError\n"
        "try:\n    import dtopipe.sinks.parquet.writer\n"
        "except SinkError as error:\n    print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 'pip install "dtopipe[parquet]"' in found.stdout


def test_a_board_that_delivers_values_has_them_stored_as_they_are(path: Path) -> None:
    stream = replace(recorded(dtype="float64"), channels=(Channel("k", "K"), Channel("code", kind="raw")))
    written(path, stream)
    table = pq.read_table(path)
    assert table.schema.types[3:] == [pa.float64(), pa.float64()]
    np.testing.assert_array_equal(table["k"].to_numpy(), codes_of(2, 0, 250, "float64")[0])


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and then nothing"])
def test_what_is_no_output_of_ours_is_refused_by_the_reader(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SinkError):
        ParquetReader(path).position()


def test_neither_a_writer_nor_a_reader_loads_pandas(path: Path) -> None:
    """It takes half a second and 60 MB, in each worker."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from recordings import blocks, recorded
from dtopipe.model.policy import Layout
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.parquet.reader import ParquetReader
from dtopipe.sinks.parquet.writer import ParquetWriter
for layout in Layout:
    path, stream = Path({str(path)!r} + layout), recorded()
    writer = ParquetWriter(OutputOptions(path, layout), row_group_size=100)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 500))
    writer.close()
    assert sum(len(rows.sample_index) for rows in ParquetReader(path).batches()) in (500, 500 * len(stream.channels))
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1000])
def test_columns_are_those_that_pyarrow_makes_itself(n: int) -> None:
    dice = np.random.default_rng(n)
    nulls = dice.random(n) < 0.3
    for values in (dice.random(n), dice.integers(-9, 9, n).astype(np.int16), dice.integers(0, 2**62, n)):
        made = arrow_array(values)
        assert made.equals(pa.array(values))
        assert np.array_equal(numbers_of(made), values)
        assert arrow_array(values, nulls=nulls).equals(pa.array(values, mask=nulls))
    part = arrow_array(dice.random(n), nulls=nulls)[n // 3 :]
    assert np.array_equal(numbers_of(part), part.to_numpy(zero_copy_only=False), equal_nan=True)
    whole = arrow_array(dice.integers(0, 99, n), nulls=nulls)
    assert np.array_equal(numbers_of(whole), whole.to_numpy(zero_copy_only=False), equal_nan=True)
    pieces = pa.chunked_array([part, part[:2]], pa.float64())
    assert np.array_equal(numbers_of(pieces), pieces.to_numpy(), equal_nan=True)
    assert len(numbers_of(pa.chunked_array([], pa.int64()))) == 0
    texts = [None if null else "\u00b5" * (k % 5) for k, null in enumerate(nulls)]
    assert text_array(texts).equals(pa.array(texts, pa.string()))
    assert repeated_text("degC", n).equals(pa.array(["degC"] * n, pa.string()))
    times = dice.integers(0, 2**62, n)
    assert arrow_array(times, pa.timestamp("ns", "UTC")).equals(pa.array(times, pa.timestamp("ns", "UTC")))
