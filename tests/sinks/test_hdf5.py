"""The file of the HDF5 sink: what others read of it, and what is left of it whenever its writer is killed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from recordings import ANCHOR, block, blocks, codes_of, gap, recorded

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.span import Cause
from dtopipe.model.stream import Block, SensorStatus, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.hdf5 import file as hdf5_file
from dtopipe.sinks.hdf5.checksums import fletcher32, lookup3
from dtopipe.sinks.hdf5.chunk_rows import default_chunk_rows
from dtopipe.sinks.hdf5.columns import link_name
from dtopipe.sinks.hdf5.reader import Hdf5Reader
from dtopipe.sinks.hdf5.structures import SUPERBLOCK_BYTES
from dtopipe.sinks.hdf5.writer import Hdf5Writer

CHUNK_ROWS = 100
GROUP = 4 * CHUNK_ROWS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


def begun(path: Path, stream: Stream, layout: Layout = Layout.WIDE, **options: Any) -> Hdf5Writer:
    writer = Hdf5Writer(OutputOptions(path, layout), **{"chunk_rows": CHUNK_ROWS, **options})
    writer.open(stream, 0, resume=False)
    return writer


def written(path: Path, stream: Stream, n: int, step: int = 50, **options: Any) -> Position:
    """A complete file of `n` samples, committed after each block."""
    writer = begun(path, stream, **options)
    for one in blocks(stream, 0, n, step):
        writer.append([one])
        writer.commit()
    return writer.close()


def codes_in(path: Path, stream: Stream) -> np.ndarray:
    """(n_channels, n), by the library of HDF5 alone; each dataset has as many rows."""
    with h5py.File(path) as file:
        assert np.array_equal(file["sample_index"][:], np.arange(len(file["sample_index"])))
        return np.stack([file[f"channels/{channel.name}"][:] for channel in stream.channels])


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
def test_codes_are_there_to_the_bit_with_what_makes_values_of_them(path: Path, dtype: str, compression: str) -> None:
    stream = recorded(("flux", "tc1"), dtype=dtype)
    written(path, stream, 1050, compression=compression)
    with h5py.File(path) as file:
        assert list(file) == ["sample_index", "t_mono_ns", "t_utc_ns", "channels", "sensor_status", "gaps", "dtopipe"]
        assert list(file["channels"]) == ["flux", "tc1"]
        flux = file["channels/flux"]
        assert (flux.dtype, flux.chunks, flux.maxshape) == (np.dtype(dtype), (CHUNK_ROWS,), (None,))
        assert (flux.compression, flux.shuffle, flux.fletcher32) == (
            ("gzip", True, True) if compression == "gzip" else (None, False, True)
        )
        assert dict(flux.attrs)["unit"] == "V"
        assert (flux.attrs["scale"], flux.attrs["offset"], list(flux.attrs["range"])) == (10 / 65536, 0.25, [-5.0, 5.0])
        assert np.array_equal(flux[:], codes_of(2, 0, 1050, dtype)[0])
        times = file["t_mono_ns"][:] - ANCHOR.t_mono_ns, file["t_utc_ns"][:] - ANCHOR.t_utc_ns
        assert all(np.array_equal(each, np.arange(1050) * 1_000_000) for each in times)
        facts = {name: file.attrs[name] for name in ("run_id", "rate_hz", "layout", "complete", "start", "stop")}
        assert facts == {
            "run_id": "run-1", "rate_hz": 1000.0, "layout": "wide", "complete": 1, "start": 0, "stop": 1050,
        }  # fmt: skip


def test_values_in_units_stand_beside_the_codes_where_they_are_wanted(path: Path) -> None:
    stream = recorded()
    status = np.zeros((2, 250), np.int8)
    status[1, 120:130] = SensorStatus.OPEN
    writer = begun(path, stream, values=True)
    writer.append([replace(block(stream, 0, 250), sensor_status=status)])
    writer.close()
    with h5py.File(path) as file:
        expected = codes_of(2, 0, 250) * (10 / 65536) + 0.25
        expected[1, 120:130] = np.nan
        for number, name in enumerate(("flux", "tc1")):
            assert np.array_equal(file[f"values/{name}"][:], expected[number], equal_nan=True)
            assert np.array_equal(file[f"sensor_status/{name}"][:], status[number])
        # What is all zeros is not stored.
        assert file["sensor_status/flux"].id.get_num_chunks() == 0
        assert file["sensor_status/tc1"].id.get_num_chunks() == 1
    (rows,) = [np.stack(rows.values) for rows in _joined(Hdf5Reader(path))]
    assert np.array_equal(rows, expected, equal_nan=True)


def _joined(reader: Hdf5Reader) -> Iterator[Any]:
    found = list(reader.batches())
    values = [np.concatenate(columns) for columns in zip(*(rows.values for rows in found), strict=True)]
    yield replace(found[0], values=values)


def test_gaps_stand_in_the_file_by_their_causes(path: Path) -> None:
    stream = recorded()
    writer = begun(path, stream)
    gaps = [gap(stream, 100, 150), gap(stream, 150, 170, Cause.POLICY_DROP)]
    writer.append([block(stream, 0, 100), *gaps, block(stream, 170, 200)])
    writer.close()
    with h5py.File(path) as file:
        assert list(zip(file["gaps/start"][:], file["gaps/stop"][:], strict=True)) == [(100, 150), (150, 170)]
        assert file["gaps/cause"].asstr()[:].tolist() == ["board_overrun", "policy_drop"]
    assert list(Hdf5Reader(path).gaps()) == gaps


def test_the_long_layout_has_the_columns_of_every_other_sink(path: Path) -> None:
    stream = recorded(("a", "b", "c"))
    status = np.zeros((3, 50), np.int8)
    status[2, 7] = SensorStatus.HIGH
    writer = begun(path, stream, Layout.LONG)
    for one in [replace(block(stream, 0, 50), sensor_status=status), *blocks(stream, 50, 350, 50)]:
        writer.append([one])
        writer.commit()
    writer.close()
    with h5py.File(path) as file:
        texts = ("device", "task", "channel", "unit", "error_type", "error_message")
        numbers = ("channel_number", "block_index", "sample_index", "t_mono_ns", "t_utc_ns", "value")
        table = pd.DataFrame(
            {**{name: file[name].asstr()[:] for name in texts}, **{name: file[name][:] for name in numbers}}
        )
    assert len(table) == 3 * 350
    for number, channel in enumerate(stream.channels):
        own = table[table.channel == channel.name]
        assert (own.channel_number == number).all()
        assert own.sample_index.tolist() == list(range(350))
        assert own.error_type.tolist().count("") == (349 if number == 2 else 350)
    assert np.isnan(table[(table.channel == "c") & (table.sample_index == 7)].value).all()


AWKWARD = ("a/b", "a%2Fb", "%", "%s", ".", "..", "日本語", "", "50 %/h")


def test_a_channel_may_be_called_as_it_likes(path: Path) -> None:
    stream = recorded(AWKWARD)
    written(path, stream, 120)
    assert len({link_name(name) for name in AWKWARD}) == len(AWKWARD)
    with h5py.File(path) as file:
        assert [dataset.attrs["name"] for dataset in file["channels"].values()] == list(AWKWARD)
        assert "%s" in file["channels"]
        assert np.array_equal(file["channels/a%2Fb"][:], codes_of(len(AWKWARD), 0, 120)[0])
    (rows,) = _joined(Hdf5Reader(path))
    assert len(rows.values) == len(AWKWARD)


# More than a node of the index has, and more than one above it.
@pytest.mark.parametrize("n_chunks", [1, 63, 64, 65, 128, 4096, 4200])
def test_each_of_many_chunks_is_found_while_the_file_grows_and_afterwards(path: Path, n_chunks: int) -> None:
    stream = recorded(("a",))
    n = n_chunks * 10 - 3
    writer = begun(path, stream, chunk_rows=10, compression="none")
    step = max(40, n // 7)
    for start in range(0, n, step):
        writer.append([block(stream, start, min(n, start + step))])
        writer.commit()
        there = codes_in(path, stream)
        assert np.array_equal(there, codes_of(1, 0, there.shape[1]))
    writer.close()
    assert np.array_equal(codes_in(path, stream), codes_of(1, 0, n))
    with h5py.File(path) as file:
        index = file["channels/a"]
        assert index.id.get_num_chunks() == n_chunks
        assert index[n - 1] == codes_of(1, n - 1, n)[0, 0]


@pytest.mark.parametrize("tool", [["h5dump", "-y"], ["h5ls", "-rv"], ["h5stat"]])
def test_the_tools_of_hdf5_take_the_file(path: Path, tool: list[str]) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed (hdf5-tools)")
    written(path, recorded(), 1050)
    done = subprocess.run([*tool, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    if tool[0] == "h5dump":
        assert 'ATTRIBUTE "scale"' in done.stdout
        assert 'DATASET "tc1"' in done.stdout


def test_the_library_may_write_on_in_a_file_that_is_complete(path: Path) -> None:
    """Its own structures are as it makes them: more rows, another attribute, and all that was there."""
    stream = recorded(("a",))
    written(path, stream, 10_050, chunk_rows=10)
    with h5py.File(path, "a") as file:
        flux = file["channels/a"]
        flux.resize((12_000,))
        flux[10_050:] = 7
        flux.attrs["note"] = "added"
        file.create_dataset("mine", data=[1, 2, 3])
    with h5py.File(path) as file:
        assert np.array_equal(file["channels/a"][:10_050], codes_of(1, 0, 10_050)[0])
        assert (file["channels/a"][10_050:] == 7).all()
        assert file["mine"][:].tolist() == [1, 2, 3]
        assert file["channels/a"].attrs["unit"] == "V"


def test_checksums_are_those_of_the_format() -> None:
    # Of the description of lookup3.
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    chance = np.random.default_rng(5)
    for n in (0, 1, 2, 3, 255, 511, 512, 513, 5000):
        for data in (chance.bytes(n), bytes(n), b"\xff" * n):
            assert fletcher32(data) == _plain_fletcher32(data)


def _plain_fletcher32(data: bytes) -> int:
    """Word by word, as the library has it."""
    first = second = 0
    for at in range(0, len(data) - 1, 2):
        first += data[at] << 8 | data[at + 1]
        first = (first & 0xFFFF) + (first >> 16)
        second += first
        second = (second & 0xFFFF) + (second >> 16)
    if len(data) % 2:
        first += data[-1] << 8
        second += (first & 0xFFFF) + (first >> 16)
    for _ in range(2):
        first, second = (first & 0xFFFF) + (first >> 16), (second & 0xFFFF) + (second >> 16)
    return second << 16 | first


@pytest.fixture
def steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bytes of the file behind each write to it, as a kill there would leave them."""
    seen: list[bytes] = []
    put = hdf5_file.GrowingHdf5._put

    def watched(self: Any, data: bytes, at: int) -> None:
        # Half of it, too: of what comes behind the end nobody knows how far it got.
        if at:
            put(self, data[: len(data) // 2], at)
            seen.append(path.read_bytes())
        put(self, data, at)
        seen.append(path.read_bytes())

    monkeypatch.setattr(hdf5_file.GrowingHdf5, "_put", watched)
    return seen


def test_whoever_opens_the_file_finds_a_whole_one_behind_every_write(path: Path, steps: list[bytes]) -> None:
    stream = recorded(("a", "b"))
    written(path, stream, 5 * GROUP + 50)
    assert len(steps) > 15
    there = 0
    for number, step in enumerate(steps):
        path.with_name("seen.h5").write_bytes(step)
        codes = codes_in(path.with_name("seen.h5"), stream)
        assert np.array_equal(codes, codes_of(2, 0, codes.shape[1])), number
        assert codes.shape[1] >= there
        there = codes.shape[1]
    assert there == 5 * GROUP + 50


def test_a_successor_goes_on_behind_a_kill_at_any_write(path: Path, steps: list[bytes]) -> None:
    """With the record and the tail as they were before or behind that write."""
    stream = recorded(("a", "b"))
    writer = begun(path, stream)
    states: list[tuple[bytes, bytes, bytes]] = []
    record, tail = path.with_name("run.h5.dtopipe"), path.with_name("run.h5.tail")
    for one in blocks(stream, 0, 2 * GROUP + 50, 50):
        before = record.read_bytes(), tail.read_bytes()
        n_steps = len(steps)
        writer.append([one])
        writer.commit()
        states += [(step, *before) for step in steps[n_steps:]]
        states.append((path.read_bytes(), record.read_bytes(), tail.read_bytes()))
    writer.abandon()
    for number, (data, of_record, of_tail) in enumerate(states):
        path.write_bytes(data)
        record.write_bytes(of_record)
        tail.write_bytes(of_tail)
        reach = Hdf5Reader(path).reach()
        successor = Hdf5Writer(OutputOptions(path), chunk_rows=CHUNK_ROWS)
        at = successor.open(stream, 0, resume=True).committed
        assert reach.committed >= at, number
        successor.append(blocks(stream, at, 3 * GROUP + 7, 50))
        assert successor.close().samples == 3 * GROUP + 7
        assert np.array_equal(codes_in(path, stream), codes_of(2, 0, 3 * GROUP + 7)), number


def test_once_something_is_durable_no_footer_counts_before_it_is_on_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = recorded(("a",))
    told: list[str] = []
    put, sync = hdf5_file.GrowingHdf5._put, os.fsync

    def watched_put(self: Any, data: bytes, at: int) -> None:
        put(self, data, at)
        told.append("behind" if at else "superblock")

    def watched_sync(fd: int) -> None:
        sync(fd)
        told.append("sync")

    monkeypatch.setattr(hdf5_file.GrowingHdf5, "_put", watched_put)
    monkeypatch.setattr(os, "fsync", watched_sync)
    writer = begun(path, stream)
    writer.append([block(stream, 0, 50)])
    writer.commit()
    writer.sync()
    told.clear()
    writer.append([block(stream, 50, 50 + GROUP)])
    writer.commit()
    assert told[: told.index("superblock")] == ["behind", "sync"]
    writer.abandon()


def test_a_file_whose_superblock_is_lost_is_read_by_its_copy(path: Path) -> None:
    stream = recorded(("a",))
    position = written(path, stream, 3 * GROUP)
    with path.open("r+b") as file:
        file.write(bytes(SUPERBLOCK_BYTES))
    reader = Hdf5Reader(path, run_id="run-1")
    assert reader.position() == position
    assert sum(len(rows.sample_index) for rows in reader.batches()) == 3 * GROUP


def test_a_file_that_lost_its_end_is_read_up_to_a_footer_before_and_says_so(path: Path) -> None:
    stream = recorded(("a",))
    written(path, stream, 6 * GROUP + 50)
    size = path.stat().st_size
    os.truncate(path, size - 100)
    damage: list[str] = []
    rows = list(Hdf5Reader(path).sound_batches(damage.append))
    n = sum(len(each.sample_index) for each in rows)
    assert 0 < n <= 6 * GROUP
    assert n % GROUP == 0
    assert "there is no whole footer at byte" in damage[0]
    with pytest.raises(SinkError, match="there is no whole footer"):
        list(Hdf5Reader(path).batches())


def test_a_chunk_with_another_byte_is_named_and_the_others_are_read(path: Path) -> None:
    stream = recorded(("a", "b"))
    written(path, stream, 2 * GROUP)
    with h5py.File(path) as file:
        info = file["channels/b"].id.get_chunk_info(3)
    with path.open("r+b") as raw:
        raw.seek(info.byte_offset + 5)
        (byte,) = raw.read(1)
        raw.seek(info.byte_offset + 5)
        raw.write(bytes([byte ^ 1]))
    damage: list[str] = []
    rows = list(Hdf5Reader(path).sound_batches(damage.append))
    there = np.concatenate([each.sample_index for each in rows])
    assert np.array_equal(there, np.r_[0:300, 400 : 2 * GROUP])
    (only,) = damage
    assert "rows 300 to 400 cannot be read" in only


def test_what_is_no_longer_the_last_footer_is_a_small_part_of_the_file(path: Path) -> None:
    stream = recorded(tuple("abcdefgh"))
    writer = Hdf5Writer(OutputOptions(path), compression="none")
    writer.open(stream, 0, resume=False)
    chance = np.random.default_rng(1)
    rows = 2**14
    for number in range(64):
        codes = chance.integers(-32768, 32768, (8, rows)).astype(np.int16)
        writer.append([Block(number, number * rows, codes, ANCHOR)])
        writer.commit()
    writer.close()
    live = 64 * rows * (8 * 2 + 3 * 8)
    assert path.stat().st_size < live * 1.1


def test_another_file_and_another_version_are_refused_in_words(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = [1]
    with pytest.raises(SinkError, match="is not a whole HDF5 file: no footer of it can be read"):
        Hdf5Reader(path).position()
    refused: list[dict[str, Any]] = [{"compression": "lzf"}, {"chunk_rows": 0}]
    for wrong in refused:
        with pytest.raises(SinkError, match="cannot be"):
            Hdf5Writer(OutputOptions(path), **wrong)
    stream = recorded(("a",))
    path.unlink()
    begun(path, stream).abandon()
    writer = Hdf5Writer(OutputOptions(path), chunk_rows=50)
    with pytest.raises(SinkError, match="was begun with other chunks"):
        writer.open(stream, 0, resume=True)


def test_chunks_of_many_channels_are_shorter() -> None:
    assert [default_chunk_rows(n, polled=False) for n in (1, 8, 128, 1000, 16_384)] == [
        2**15,
        2**15,
        2**15,
        2**12,
        2**10,
    ]


def test_writing_needs_no_library_and_zlib_is_as_good(path: Path) -> None:
    code = (
        "import sys; sys.modules['isal'] = None; sys.modules['h5py'] = None\n"
        "from pathlib import Path\nfrom recordings import blocks, recorded\n"
        "from dtopipe.sinks.contract import OutputOptions\nfrom dtopipe.sinks.hdf5.writer import Hdf5Writer\n"
        f"writer = Hdf5Writer(OutputOptions(Path({str(path)!r})), chunk_rows=100)\n"
        "stream = recorded(('a',)); writer.open(stream, 0, resume=False); writer.append(blocks(stream, 0, 450, 50))\n"
        "writer.close()\n"
    )
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert np.array_equal(codes_in(path, recorded(("a",))), codes_of(1, 0, 450))
    with h5py.File(path) as file:
        raw = file["channels/a"].id.read_direct_chunk((0,))[1]
    shuffled = np.frombuffer(zlib.decompress(raw[:-4]), np.uint8).reshape(2, -1).T.copy()
    assert np.array_equal(shuffled.view("<i2")[:, 0], codes_of(1, 0, 100)[0])
    assert raw[-4:] == struct.pack("<I", fletcher32(raw[:-4]))


def _sound(path: Path) -> dict[int, tuple[float, ...]]:
    """What the reader gives of a damaged file, by sample index; it may refuse it in words, and do nothing else."""
    found: dict[int, tuple[float, ...]] = {}
    try:
        for rows in Hdf5Reader(path).sound_batches(lambda damage: None):
            values = zip(*(column.tolist() for column in rows.values), strict=True)
            found |= dict(zip(rows.sample_index.tolist(), values, strict=True))
    except SinkError:
        return {}
    return found


@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
@pytest.mark.parametrize("is_open", [False, True])
def test_no_damaged_page_ends_the_process_or_gives_another_value(path: Path, filler: bytes, *, is_open: bool) -> None:
    """The library of HDF5 reads beyond its memory where a node of its chunks is zeros from some key on."""
    stream = recorded()
    writer = begun(path, stream)
    for one in blocks(stream, 0, 1850, 50):
        writer.append([one])
        writer.commit()
    if not is_open:
        writer.close()
    whole = path.read_bytes()
    right = {index: tuple(codes) for index, codes in enumerate((codes_of(2, 0, 1850) * (10 / 65536) + 0.25).T.tolist())}
    n_sound = 0
    for at in range(0, len(whole), 512):
        path.write_bytes(whole[:at] + filler * len(whole[at : at + 512]) + whole[at + 512 :])
        found = _sound(path)
        assert all(right[index] == values for index, values in found.items()), at
        n_sound += len(found)
    assert n_sound
    if is_open:
        writer.abandon()


def test_a_chunk_that_a_node_calls_empty_is_damage(path: Path) -> None:
    stream = recorded()
    written(path, stream, 850)
    data = bytearray(path.read_bytes())
    node = data.rindex(b"TREE")
    # The size of its second chunk.
    data[node + 24 + 32 : node + 24 + 36] = bytes(4)
    path.write_bytes(data)
    damage: list[str] = []
    rows = [rows.sample_index for rows in Hdf5Reader(path).sound_batches(damage.append)]
    assert np.concatenate(rows).tolist() == [*range(100), *range(200, 850)]
    assert any("rows 100 to 200 cannot be read: a chunk is damaged (nothing leads to" in each for each in damage)


def _rewritten(path: Path, change: Callable[[bytes], bytes]) -> None:
    """The header of `sample_index` in the last footer as `change` has it, with a checksum that fits."""
    data = path.read_bytes()
    with h5py.File(path) as file:
        at = h5py.h5o.get_info(file["sample_index"].id).addr
    stop = at + 10 + struct.unpack_from("<I", data, at + 6)[0]
    header = change(data[at:stop])
    assert len(header) == stop - at
    assert header != data[at:stop]
    path.write_bytes(data[:at] + header + struct.pack("<I", lookup3(header)) + data[stop + 4 :])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Items, without end.
        (struct.pack("<QQ", 850, 2**64 - 1), struct.pack("<QQ", 2**47, 2**64 - 1)),
        # A chunk's items: none, and more than there may be.
        (struct.pack("<II", CHUNK_ROWS, 8), struct.pack("<II", 0, 8)),
        (struct.pack("<II", CHUNK_ROWS, 8), struct.pack("<II", 2**32 - 1, 8)),
        # Another class of layout, and no dataspace.
        (b"\x08\x13\x00\x00\x03\x02", b"\x08\x13\x00\x00\x03\x01"),
        (b"\x01\x14\x00\x00\x02", b"\x00\x14\x00\x00\x02"),
    ],
)
def test_numbers_of_a_stranger_are_refused_in_words_whatever_their_checksum(path: Path, old: bytes, new: bytes) -> None:
    written(path, recorded(), 850)
    _rewritten(path, lambda header: header.replace(old, new))
    assert set(_sound(path)) <= set(range(850))


def test_it_is_written_and_read_back_without_the_library_of_hdf5(path: Path) -> None:
    program = (
        "import sys\nsys.modules['h5py'] = None\nfrom pathlib import Path\nfrom recordings import blocks, recorded\n"
        "from dtopipe.sinks.contract import OutputOptions\nfrom dtopipe.sinks.hdf5.writer import Hdf5Writer\n"
        "from dtopipe.sinks.hdf5.reader import Hdf5Reader\n"
        "path, stream = Path(sys.argv[1]), recorded()\nwriter = Hdf5Writer(OutputOptions(path), chunk_rows=100)\n"
        "writer.open(stream, 0, resume=False)\nwriter.append(list(blocks(stream, 0, 850, 50)))\nwriter.close()\n"
        "assert sum(len(rows.sample_index) for rows in Hdf5Reader(path).batches()) == 850\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(codes_in(path, recorded())[0]) == 850
