"""What goes wrong with the library that people use today must not go wrong here: one test a fault."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pyarrow.parquet as pq
import pytest
from daq import block, error_block, reading
from test_program_sinks import KINDS, Kind, is_null, kind_name, kind_of, sqlite_rows

from dtopipe.errors import SinkError, SinkUnavailable
from dtopipe.model.stream import Channel
from dtopipe.sinks import JsonlSink, ParquetSink, RawCountsSink, SqliteSink, block_to_rows, reading_to_row
from dtopipe.sinks.programs.tabular import TabularSink
from dtopipe.sinks.registry import load_reader
from dtopipe.tools.replay_raw import iter_blocks, read_file_header

pytestmark = pytest.mark.anyio


@pytest.fixture(params=KINDS, ids=kind_name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output"


async def test_every_sample_of_a_block_is_stored_not_a_summary(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write(block(0, 1000))
    assert [row["a"] for row in kind.samples(path)] == [float(i) for i in range(1000)]


async def test_signed_codes_are_not_taken_for_offset_binary(path: Path) -> None:
    codes = np.array([[-32768, -1, 0, 32767]], np.int16)
    scale = 20 / 65536
    calibration = (Channel("a", "V", scale=scale, offset=0.0, range=(-10.0, 10.0)),)
    async with RawCountsSink(path) as sink:
        await sink.write_raw(block(channels=("a",), raw_codes=codes, calibration=calibration))
    (read,) = iter_blocks(path)
    assert read.is_linearised
    np.testing.assert_array_equal(read.raw_codes, codes)
    np.testing.assert_array_equal(read.data, codes * scale)


@pytest.mark.parametrize("version", [[2], "two", {"a": 1}, -1, 2.5])
async def test_a_raw_file_of_an_odd_version_is_refused_in_words(path: Path, version: Any) -> None:
    async with RawCountsSink(path) as sink:
        await sink.write_raw(block(0, 4))
    data = path.read_bytes()
    length = int.from_bytes(data[:4], "little")
    text = json.dumps({**json.loads(data[4 : 4 + length]), "format_version": version}).encode()
    path.write_bytes(len(text).to_bytes(4, "little") + text + data[4 + length :])
    with pytest.raises(SinkError, match=r"not a \.dt-raw file"):
        read_file_header(path)


async def test_a_value_that_looked_like_an_integer_at_first_keeps_its_fraction_later(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write_many([reading(0, {"x": 3})])
        await sink.write_many([reading(1, {"x": 3.5}), reading(2, {"x": True})])
    assert [row["x"] for row in kind.readings(path)] == [3.0, 3.5, 1.0]


EVIL = 'x"); DROP TABLE runs; --'


async def test_a_channels_name_is_a_name_whatever_is_in_it(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write(block(channels=(EVIL, "b'; --")))
    rows = kind.samples(path)
    assert [row[EVIL] for row in rows] == [0.0, 1.0, 2.0, 3.0]
    if kind.name == "sqlite":
        assert len(sqlite_rows(path, "runs")) == 1


async def test_a_first_error_breaks_no_later_write(kind: Kind, path: Path, tmp_path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write(error_block())
        await sink.write(block(0))
        await sink.write(error_block(4))
        await sink.write(block(4))
    assert [row["b"] for row in kind.samples(path)] == [1000.0 + i for i in range(8)]
    other = tmp_path / "readings"
    async with kind.sink(other) as sink:
        await sink.write_many([reading(0, {}, error=OSError("no answer"))])
        await sink.write_many([reading(1, {"x": 1.5})])
    rows = kind.readings(other)
    assert [None if is_null(row["x"]) else row["x"] for row in rows] == [None, 1.5]
    assert (rows[0]["error_type"], rows[0]["error_message"]) == ("builtins.OSError", "no answer")


async def test_readings_that_are_all_errors_are_stored_as_that(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write_many([reading(0, {}, error=OSError("no answer")), reading(1, {}, error=OSError("none"))])
    assert [row["error_message"] for row in kind.readings(path)] == ["no answer", "none"]


async def test_an_error_block_is_no_measurement_of_zero(kind: Kind, path: Path, tmp_path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write(block(4))
        await sink.write(error_block(8))
        await sink.write(block(12))
    assert 0.0 not in [row["a"] for row in kind.samples(path)]
    assert [row["sample_index"] for row in kind.samples(path)] == [4, 5, 6, 7, 12, 13, 14, 15]
    long = tmp_path / "long"
    async with kind.sink(long, layout="long") as sink:
        await sink.write(block(4))
        await sink.write(error_block(8))
    bad = [row for row in kind._rows(long, "samples_long") if row["sample_index"] >= 8]
    assert len(bad) == 8
    assert all(is_null(row["value"]) and not is_null(row["error_type"]) for row in bad)
    assert all(row["value"] is None for row in block_to_rows(error_block()))


WRITES_UNTIL_KILLED = """
import anyio, sys
sys.path.insert(0, {here!r})
from daq import block
from dtopipe.sinks import ParquetSink

async def main():
    sink = ParquetSink(sys.argv[1], row_group_size=1000)
    await sink.open()
    for first in range(0, 10**9, 100):
        await sink.write(block(first, 100))
        print(first + 100, flush=True)

anyio.run(main)
"""


def test_a_killed_parquet_file_is_readable(path: Path) -> None:
    program = WRITES_UNTIL_KILLED.format(here=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        written = 0
        while written < 5500:
            written = int(process.stdout.readline())
        process.kill()
    table = pq.read_table(path)
    assert table.num_rows >= written // 1000 * 1000
    assert table["b"].to_pylist() == [1000.0 + i for i in range(table.num_rows)]


async def test_reopening_destroys_nothing(kind: Kind, path: Path) -> None:
    if kind.name == "postgres":
        for _ in range(2):
            async with kind.sink(path) as sink:
                await sink.write(block())
        assert [row["run"] for row in kind.samples(path)] == [1] * 4 + [2] * 4
        return
    async with kind.sink(path) as sink:
        await sink.write(block())
    before = path.read_bytes()
    with pytest.raises(SinkError, match="exists already"):
        async with kind.sink(path) as sink:
            await sink.write(block())
    assert path.read_bytes() == before


async def test_reopening_a_raw_file_destroys_nothing(path: Path) -> None:
    async with RawCountsSink(path) as sink:
        await sink.write_raw(block())
    before = path.read_bytes()
    with pytest.raises(SinkError, match="exists already"):
        await RawCountsSink(path).open()
    assert path.read_bytes() == before


async def test_a_lock_on_the_database_is_over_when_it_is_over(path: Path) -> None:
    async with SqliteSink(path, busy_timeout_ms=1) as sink:
        await sink.write(block(0))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            locked = block(4)
            for _ in range(3):
                with pytest.raises(SinkUnavailable, match="lock"):
                    await sink.write(locked)
            other.execute("ROLLBACK")
        await sink.write(locked)
        await sink.write(block(8))
    assert [row["sample_index"] for row in sqlite_rows(path, "samples")] == list(range(12))


async def test_a_program_may_go_on_filling_the_list_that_was_not_stored_yet(path: Path) -> None:
    async with SqliteSink(path, busy_timeout_ms=1) as sink:
        await sink.write_many([reading(0)])
        buffer = [reading(1)]
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(SinkUnavailable):
                await sink.write_many(buffer)
            buffer.append(reading(2))
            with pytest.raises(SinkUnavailable):
                await sink.write_many(buffer)
            other.execute("ROLLBACK")
        buffer.append(reading(3))
        await sink.write_many(buffer)
    assert [row["ch0"] for row in sqlite_rows(path, "readings")] == [0.0, 1.0, 2.0, 3.0]


async def test_json_has_no_bare_nan(path: Path, tmp_path: Path) -> None:
    values = [float("nan"), float("inf"), -float("inf"), 1.0]
    async with JsonlSink(path, accept_blocks=True) as sink:
        await sink.write(block(data=np.array([values, values]), n=4))
    other = tmp_path / "readings"
    async with JsonlSink(other) as sink:
        await sink.write_many([reading(i, {"x": value}) for i, value in enumerate(values)])
    for file, column in ((path, "a"), (other, "x")):
        rows = [json.loads(line, parse_constant=pytest.fail) for line in file.read_text().splitlines()]
        assert [row[column] for row in rows] == [None, None, None, 1.0]


NAMES = ("device", "t_mono_ns", "sample_index", "a", "a_unit", "error_type", "run")


async def test_a_channel_named_like_a_column_of_ours_keeps_its_values(kind: Kind, path: Path) -> None:
    values = {name: float(number) for number, name in enumerate(NAMES)}
    async with kind.sink(path) as sink:
        await sink.write_many([reading(0, values)])
    (row,) = kind.readings(path)
    for number, name in enumerate(NAMES):
        assert number in (row.get(name), row.get(f"{name}_value")), name
    assert (row["device"], row["task"], row["t_mono_ns"]) == ("dev", "task", 0)
    assert reading_to_row(reading(0, values))["device"] == "dev"
    assert reading_to_row(reading(0, values))["device_value"] == 0.0


async def test_a_block_of_a_channel_named_device_is_stored(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write(block(channels=("device", "task")))
    assert [row["device"] for row in kind.samples(path)] == [0.0, 1.0, 2.0, 3.0]


async def test_replay_keeps_the_block_index(path: Path) -> None:
    async with RawCountsSink(path) as sink:
        for number in (3, 4, 9):
            await sink.write_raw(block(4 * number, block_index=number))
    assert [(read.block_index, read.first_sample_index) for read in iter_blocks(path)] == [(3, 12), (4, 16), (9, 36)]


FILE_KINDS = [kind for kind in KINDS if isinstance(kind, Kind)]
Make = Callable[[Path], TabularSink | RawCountsSink]
PROGRAM_SINKS: list[Make] = [*(kind.sink for kind in FILE_KINDS), RawCountsSink]


@pytest.mark.parametrize("make", PROGRAM_SINKS, ids=[*(kind.name for kind in FILE_KINDS), "raw"])
async def test_a_full_disk_is_a_sink_error_with_the_path_and_the_way_out(make: Make, small_disk: Any) -> None:
    disk = small_disk("512k").path
    path, ballast = disk / "output", disk / "ballast"
    noise = np.random.default_rng(1).integers(-32768, 32768, (2, 500), np.int16)
    async with make(path) as sink:
        write = sink.write_raw if isinstance(sink, RawCountsSink) else sink.write
        ballast.write_bytes(bytes(384 * 1024))
        written = 0
        with pytest.raises(SinkUnavailable, match="space") as caught:
            while True:
                full = block(written, 500, data=noise.astype(float), raw_codes=noise)
                await write(full)
                written += 500
        # The one file that had no room: the output, or one beside it.
        assert str(caught.value.path).startswith(str(path))
        assert caught.value.remedy
        ballast.unlink()
        await write(full)
        written += 500
    if isinstance(sink, RawCountsSink):
        assert sum(read.samples_per_channel for read in iter_blocks(path)) == written
    else:
        (kind,) = [kind for kind in FILE_KINDS if kind.sink == make]
        assert [row["sample_index"] for row in kind.samples(path)] == list(range(written))


async def test_a_package_that_is_absent_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    program = (
        "import sys, anyio\nsys.modules['pyarrow'] = None\nfrom dtopipe.sinks import ParquetSink\n"
        "from dtopipe.errors import SinkError\n"
        "async def main():\n"
        "    try:\n        await ParquetSink('x.parquet').open()\n"
        "    except SinkError as error:\n        print(error)\n"
        "anyio.run(main)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "dtopipe[parquet]" in ran.stdout


async def test_a_sink_never_holds_up_the_event_loop(path: Path) -> None:
    """The longest time that nothing else could run, while a large block is written."""
    longest = 0.0
    done = anyio.Event()

    async def watch() -> None:
        nonlocal longest
        while not done.is_set():
            before = time.perf_counter()
            await anyio.lowlevel.checkpoint()
            longest = max(longest, time.perf_counter() - before)

    async with anyio.create_task_group() as group, ParquetSink(path) as sink:
        group.start_soon(watch)
        began = time.perf_counter()
        await sink.write(block(0, 400_000))
        took = time.perf_counter() - began
        done.set()
    assert longest < took


def test_a_table_of_zeros_as_a_power_cut_may_leave_it_is_damage_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(bytes(200_000))
    with pytest.raises(SinkError, match="damaged") as refused:
        list(load_reader("csv")(path).batches())
    assert "refill it from another output" in refused.value.remedy
