"""`.dt-raw` files go both ways between us and the driver library that invented them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import ANCHOR, block, blocks, codes_of, gap, recorded

from dtopipe.boards.contract import Ended
from dtopipe.boards.replay import ReplayBoard
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import BoardError, SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.tools.replay_raw import iter_blocks

pytestmark = [
    pytest.mark.python313,
    pytest.mark.skipif(sys.version_info < (3, 13), reason="the driver library needs Python 3.13"),
]


def test_the_driver_library_reads_what_the_hbuf_sink_writes(tmp_path: Path) -> None:
    from dtollib.tools.replay_raw import iter_blocks, read_file_header

    stream = recorded()
    status = np.zeros((2, 50), np.int8)
    status[0, 10:20] = 1
    special = block(stream, 450, 500, index=3, status=status)
    written: list[Block | Gap] = [*blocks(stream, 0, 300), gap(stream, 300, 450), special]
    writer = HbufWriter(OutputOptions(tmp_path / "archive.dt-raw"))
    writer.open(stream, 0, resume=False)
    writer.append(written)
    writer.note([Mark(1, "ignition", 20, 5, 7)], {"sample": "A7"})
    writer.close()

    header = read_file_header(tmp_path / "archive.dt-raw")
    assert (header.format_version, header.task, header.device) == (2, "heat", "simulated")
    assert (header.dtype, header.n_channels, header.sample_rate_hz) == ("int16", 2, 1000.0)
    assert header.samples_per_buffer == 100
    first, second, third, marker, last, notes = iter_blocks(tmp_path / "archive.dt-raw")
    for k, found in enumerate((first, second, third)):
        assert found.channels == ("flux", "tc1")
        assert found.first_sample_index == k * 100
        assert found.raw_codes.dtype == np.int16
        assert np.array_equal(found.raw_codes, codes_of(2, k * 100, k * 100 + 100))
        assert found.t_mono_ns == ANCHOR.t_mono_ns + k * 100_000_000
        assert found.t_utc == datetime.fromisoformat(iso_utc(ANCHOR.t_utc_ns + k * 100_000_000))
        assert found.error is None
    assert marker.samples_per_channel == 0
    assert marker.error is not None
    assert last.first_sample_index == 450
    assert np.array_equal(last.raw_codes, codes_of(2, 450, 500))
    # What was noted of the run is a block without samples to it, behind the last one, and no loss.
    assert (notes.samples_per_channel, notes.first_sample_index, notes.error) == (0, 500, None)


def driver_block(number: int, dtype: Any = np.int32) -> Any:
    """As the driver hands codes over: int32, a transposed view."""
    from dtollib.tasks.models import DaqBlock

    now = datetime(2026, 1, 1, tzinfo=UTC)
    codes = np.array([[i, -i] for i in range(number * 10, number * 10 + 10)], dtype).T
    return DaqBlock(
        device="DT9837", task="t", channels=("a", "b"), data=codes.astype(float), raw_codes=codes,
        block_index=number, first_sample_index=number * 10, samples_per_channel=10, sample_rate_hz=500.0,
        block_period_ns=2_000_000, task_started_at=now, t0=now, t_mono_ns=number, t_utc=now,
        read_started_at=now, read_finished_at=now, elapsed_s=0.0,
    )  # fmt: skip


def whole_blocks(iter_blocks: Any, path: Path, error: type[Exception]) -> list[Any]:
    """The blocks that a reader gives of a file that may be cut, before it says so or ends."""
    found = []
    try:
        for each in iter_blocks(path):
            found.append(each)
    except error:
        pass
    return found


def chunk_ends(path: Path) -> list[int]:
    """Where the header and each chunk of a file of two channels of 16-bit codes end."""
    content = path.read_bytes()
    at = 4 + int.from_bytes(content[:4], "little")
    ends = [at]
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        header = json.loads(content[at + 4 : at + 4 + length])
        at += 4 + length + header["valid_samples"] * 2 * 2
        ends.append(at)
    return ends


def test_what_the_hbuf_sink_wrote_and_any_byte_cut_short_the_driver_library_reads_to_the_last_whole_chunk(
    tmp_path: Path,
) -> None:
    from dtollib.errors import DtolSinkError
    from dtollib.tools.replay_raw import iter_blocks

    stream = recorded()
    writer = HbufWriter(OutputOptions(tmp_path / "whole.dt-raw"))
    writer.open(stream, 0, resume=False)
    writer.append([block(stream, 0, 7), gap(stream, 7, 9), block(stream, 9, 14, index=2)])
    writer.close()
    content, ends = (tmp_path / "whole.dt-raw").read_bytes(), chunk_ends(tmp_path / "whole.dt-raw")
    assert ends[-1] == len(content)
    cut = tmp_path / "cut.dt-raw"
    for length in range(len(content) + 1):
        cut.write_bytes(content[:length])
        found = whole_blocks(iter_blocks, cut, DtolSinkError)
        assert len(found) == sum(length >= end for end in ends[1:]), length
        for each in found:
            first = each.first_sample_index
            assert np.array_equal(each.raw_codes, codes_of(2, first, first + each.samples_per_channel)), length


@pytest.mark.anyio
async def test_what_the_driver_library_wrote_and_any_byte_cut_short_we_read_to_the_last_whole_chunk(
    tmp_path: Path,
) -> None:
    from dtollib.sinks import RawCountsSink

    async with RawCountsSink(tmp_path / "whole.dt-raw") as sink:
        for number in range(3):
            await sink.write_raw(driver_block(number, np.int16))
    content, ends = (tmp_path / "whole.dt-raw").read_bytes(), chunk_ends(tmp_path / "whole.dt-raw")
    cut = tmp_path / "cut.dt-raw"
    for length in range(len(content) + 1):
        cut.write_bytes(content[:length])
        found = whole_blocks(iter_blocks, cut, SinkError)
        whole = sum(length >= end for end in ends[1:])
        assert len(found) == whole, length
        for number, each in enumerate(found):
            assert np.array_equal(each.raw_codes, driver_block(number, np.int16).raw_codes), length
        # The replay board plays as much, and refuses what has no sample.
        board = ReplayBoard({"path": str(cut), "speed": "max"})
        if not whole:
            with pytest.raises(BoardError):
                board.open()
            continue
        board.open()
        board.start(0)
        for number in range(whole):
            taken: Any = board.read(1.0)
            assert np.array_equal(taken.codes, driver_block(number, np.int16).raw_codes), length
            board.give_back()
        assert board.read(1.0) == Ended(whole * 10)
        board.close()


@pytest.mark.anyio
async def test_replay_plays_what_the_driver_library_recorded(tmp_path: Path) -> None:
    from dtollib.sinks import RawCountsSink

    path = tmp_path / "driver.dt-raw"
    async with RawCountsSink(path, file_metadata={"sample": "A7"}) as sink:
        for number in range(3):
            await sink.write_raw(driver_block(number))
    board = ReplayBoard({"path": str(path), "speed": "max"})
    opened = board.open()
    assert (opened.device, opened.rate_hz, opened.dtype, opened.samples_per_block) == ("DT9837", 500.0, "int32", 10)
    assert [(channel.name, channel.is_raw) for channel in opened.channels] == [("a", True), ("b", True)]
    assert opened.metadata["replayed"]["metadata"] == {"sample": "A7"}
    board.start(0)
    for number in range(3):
        taken: Any = board.read(1.0)
        assert taken.first_sample_index == number * 10
        assert taken.codes.tolist() == [
            list(range(number * 10, number * 10 + 10)),
            list(range(-number * 10, -number * 10 - 10, -1)),
        ]
        board.give_back()
    assert board.read(1.0) == Ended(30)
    board.close()
