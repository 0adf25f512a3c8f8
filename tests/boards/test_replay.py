"""A recording is played as it is."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.boards.replay import ReplayBoard
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import BoardError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel
from dtopipe.wire.dtraw import ChunkHeader, FileHeader, encode_chunk, encode_file_header, encode_status, gap_chunk

ECG = Path(__file__).parents[1] / "data" / "ecg.dt-raw"


def play(path: Path, at: int = 0, most: int = 10_000, **options: Any) -> list[Any]:
    board = ReplayBoard({"path": str(path), "speed": "max", **options})
    board.open()
    board.start(at)
    events: list[Any] = []
    while len(events) < most and not (events and isinstance(events[-1], Ended)):
        events.append(board.read(1.0))
        board.give_back()
    board.close()
    return events


def ramp(start: int, stop: int) -> NDArray[np.int16]:
    """Two channels whose codes are their indices."""
    return np.array([range(start, stop), range(-start, -stop, -1)], dtype=np.int16)


HEADER = FileHeader(
    task="lab",
    device="DT9837",
    channels=(Channel("a", "V", scale=0.5, offset=1.0, range=(-10.0, 10.0)), Channel("b", "V", scale=2.0)),
    sample_rate_hz=1000.0,
    dtype="int16",
    samples_per_buffer=10,
    task_started_at="2026-01-01T00:00:00+00:00",
    metadata={"operator": "me"},
)


Chunk = tuple[bytes, bytes | memoryview]


def data(seq: int, start: int, stop: int, **extra: Any) -> Chunk:
    header = ChunkHeader(seq, start, stop - start, 10, 0, 0, **extra)
    return encode_chunk(header, ramp(start, stop))


def gap(seq: int, start: int, stop: int, cause: Cause) -> Chunk:
    return encode_chunk(gap_chunk(seq, Gap(Span(start, stop), cause, 0), 0), np.zeros((2, 0), np.int16))


def write(path: Path, *chunks: Chunk, header: FileHeader = HEADER) -> Path:
    path.write_bytes(encode_file_header(header) + b"".join(part for chunk in chunks for part in chunk))
    return path


def foreign(path: Path, header: dict[str, Any], *chunks: tuple[dict[str, Any], NDArray[Any]]) -> Path:
    """A file of another program."""
    with path.open("wb") as file:
        for document, payload in (header, np.zeros(0)), *chunks:
            text = json.dumps(document).encode()
            file.write(struct.pack("<I", len(text)) + text + payload.tobytes())
    return path


def test_the_ecg_recording_comes_with_its_codes_rate_channel_and_blocks() -> None:
    board = ReplayBoard({"path": str(ECG), "speed": "max"})
    opened = board.open()
    board.close()
    (channel,) = opened.channels
    assert (channel.name, channel.unit, channel.scale, channel.offset) == ("MLII", "mV", 0.005, -5.12)
    assert (opened.dtype, opened.rate_hz, opened.samples_per_block) == ("int16", 360.0, 360)
    assert (opened.clocked, opened.resumable, opened.simulated, opened.end_sample_index) == (
        False,
        True,
        False,
        108_000,
    )
    replayed = opened.metadata["replayed"]
    assert replayed["path"] == str(ECG)
    assert replayed["task_started_at"] == "2026-01-01T00:00:00+00:00"
    assert replayed["metadata"]["licence"] == "Open Data Commons Attribution"
    *blocks, end = play(ECG)
    assert end == Ended(108_000)
    assert [block.first_sample_index for block in blocks] == list(range(0, 108_000, 360))
    codes = np.concatenate([block.codes for block in blocks], axis=1)
    values = codes * 0.005 - 5.12
    # What is known of record 208 from its own header: 11-bit codes around 1024, some millivolts.
    assert codes.shape == (1, 108_000)
    assert 0 <= codes.min() < codes.max() < 2048
    assert -4 < values.min() < values.max() < 4
    assert codes.tobytes() == payloads(ECG)


def payloads(path: Path) -> bytes:
    """The samples of an int16 file of one channel, read by hand."""
    content, found, at = path.read_bytes(), b"", 0
    while at < len(content):
        length = struct.unpack_from("<I", content, at)[0]
        document = json.loads(content[at + 4 : at + 4 + length])
        at += 4 + length
        n_bytes = 2 * document.get("valid_samples", 0)
        found += content[at : at + n_bytes]
        at += n_bytes
    return found


def test_jumps_and_recorded_gaps_are_overruns_with_their_cause(tmp_path: Path) -> None:
    path = write(
        tmp_path / "gaps.dt-raw",
        data(0, 0, 10),
        gap(1, 10, 25, Cause.ACQUIRER_RESTART),
        data(2, 25, 30),
        data(3, 40, 50),
        gap(4, 50, 60, Cause.BOARD_OVERRUN),
    )
    first, restart, second, jump, third, tail, end = play(path)
    assert np.array_equal(first.codes, ramp(0, 10))
    assert restart == Overrun(Span(10, 25), Cause.ACQUIRER_RESTART)
    assert (second.first_sample_index, second.codes.tolist()) == (25, ramp(25, 30).tolist())
    assert jump == Overrun(Span(30, 40), Cause.BOARD_OVERRUN)
    assert (third.first_sample_index, third.codes.tolist()) == (40, ramp(40, 50).tolist())
    assert tail == Overrun(Span(50, 60), Cause.BOARD_OVERRUN)
    assert end == Ended(60)


def test_a_recording_that_begins_late_is_played_from_its_first_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "second.dt-raw", data(0, 5000, 5010), data(1, 5010, 5015))
    first, second, end = play(path)
    assert (first.first_sample_index, second.first_sample_index, end) == (0, 10, Ended(15))
    board = ReplayBoard({"path": str(path)})
    assert board.open().metadata["replayed"]["first_sample_index"] == 5000
    board.close()


@pytest.mark.parametrize("at", [0, 3, 10, 17, 25, 27, 49])
def test_it_starts_at_any_index(tmp_path: Path, at: int) -> None:
    path = write(tmp_path / "r.dt-raw", data(0, 0, 10), gap(1, 10, 20, Cause.STALLED), data(2, 20, 30), data(3, 30, 50))
    *events, end = play(path, at=at)
    assert end == Ended(50)
    position = at
    for event in events:
        if isinstance(event, Overrun):
            assert event == Overrun(Span(max(10, at), 20), Cause.STALLED)
            position = 20
        else:
            stop = position + event.codes.shape[1]
            assert event.first_sample_index == position
            assert np.array_equal(event.codes, ramp(position, stop))
            position = stop
    assert position == 50


def test_a_loop_goes_on_with_rising_indices(tmp_path: Path) -> None:
    path = write(tmp_path / "loop.dt-raw", data(0, 0, 10), gap(1, 10, 14, Cause.TRANSPORT), data(2, 14, 20))
    events = play(path, most=9, loop=True)
    for number, event in enumerate(events):
        lap = number // 3 * 20
        if number % 3 == 1:
            assert event == Overrun(Span(lap + 10, lap + 14), Cause.TRANSPORT)
        else:
            start, stop = ((0, 10), (14, 20))[number % 3 // 2]
            assert event.first_sample_index == lap + start
            assert np.array_equal(event.codes, ramp(start, stop))
    assert play(path, at=10**9 + 15, most=1, loop=True)[0].codes.tolist() == ramp(15, 20).tolist()


def test_sensor_status_comes_back(tmp_path: Path) -> None:
    status = np.zeros((2, 10), np.int8)
    status[1, 3:6] = 1
    path = write(tmp_path / "s.dt-raw", data(0, 0, 10, sensor_status=encode_status(status)), data(1, 10, 20))
    first, second, _ = play(path)
    assert np.array_equal(first.sensor_status, status)
    assert second.sensor_status is None
    assert np.array_equal(play(path, at=4)[0].sensor_status, status[:, 4:])


@pytest.mark.parametrize("cut", [1, 5, 40, 60])
def test_a_cut_file_is_played_up_to_its_last_whole_chunk_and_says_so(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "cut.dt-raw", data(0, 0, 10), data(1, 10, 20), data(2, 20, 30))
    path.write_bytes(path.read_bytes()[:-cut])
    board = ReplayBoard({"path": str(path)})
    opened = board.open()
    board.close()
    assert opened.end_sample_index == 20
    assert "cut" in opened.metadata["replayed"]["damage"]
    assert "played up to sample 20" in caplog.text
    _, second, end = play(path)
    assert np.array_equal(second.codes, ramp(10, 20))
    assert end == Ended(20)


def test_a_chunk_that_is_not_what_was_written_is_a_gap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "bad.dt-raw", data(0, 0, 10), data(1, 10, 20), data(2, 20, 30))
    content = bytearray(path.read_bytes())
    content[content.rindex(ramp(10, 20).tobytes()) + 7] ^= 1
    path.write_bytes(content)
    _, spoilt, third, end = play(path)
    assert spoilt == Overrun(Span(10, 20), Cause.WRITE_ERROR)
    assert np.array_equal(third.codes, ramp(20, 30))
    assert end == Ended(30)
    assert "checksum" in caplog.text


@pytest.mark.parametrize(
    ("recorded", "delivered"),
    [
        ("int8", "int16"), ("uint8", "int16"), ("int16", "int16"), ("uint16", "int32"), ("int32", "int32"),
        ("uint32", "float64"), ("int64", "float64"), ("float32", "float64"), ("float64", "float64"),
    ],
)  # fmt: skip
def test_files_of_other_programs_are_played_in_a_type_that_holds_their_codes(
    tmp_path: Path, recorded: str, delivered: str
) -> None:
    codes = np.array([[1, 2, 3], [100, 101, 127]], recorded)
    header = {"channels": [{"name": "a"}, {"name": "b"}], "dtype": recorded, "sample_rate_hz": 100}
    path = foreign(tmp_path / "f.dt-raw", header, ({"seq": 0, "valid_samples": 3, "t_mono_ns": 0}, codes))
    board = ReplayBoard({"path": str(path)})
    opened = board.open()
    board.close()
    assert opened.dtype == delivered
    assert [(channel.scale, channel.offset) for channel in opened.channels] == [(1.0, 0.0)] * 2
    assert [channel.is_raw for channel in opened.channels] == [delivered != "float64"] * 2
    block, _ = play(path)
    assert block.codes.dtype == delivered
    assert np.array_equal(block.codes, codes)


def test_codes_too_wide_for_a_stream_are_delivered_in_engineering_units(tmp_path: Path) -> None:
    header = {"channels": [{"name": "a", "scale": 0.5, "offset": 3}], "dtype": "uint32", "sample_rate_hz": 100}
    codes = np.array([[2**32 - 1, 4]], np.uint32)
    path = foreign(tmp_path / "f.dt-raw", header, ({"seq": 0, "valid_samples": 2, "t_mono_ns": 0}, codes))
    assert play(path)[0].codes.tolist() == [[(2**32 - 1) * 0.5 + 3, 5.0]]


def test_chunks_whose_index_does_not_move_on_follow_each_other(tmp_path: Path) -> None:
    header = {"channels": [{"name": "a"}], "dtype": "int16", "sample_rate_hz": 100}
    chunk = {"valid_samples": 2, "t_mono_ns": 0}
    marker = {"seq": 1, "valid_samples": 0, "t_mono_ns": 0, "flags": ["overrun_marker"]}
    path = foreign(
        tmp_path / "f.dt-raw",
        header,
        ({"seq": 0, **chunk}, np.array([1, 2], np.int16)),
        (marker, np.zeros(0, np.int16)),
        ({"seq": 2, **chunk}, np.array([3, 4], np.int16)),
    )
    first, second, end = play(path)
    assert (first.first_sample_index, second.first_sample_index, end) == (0, 2, Ended(4))
    board = ReplayBoard({"path": str(path)})
    assert board.open().metadata["replayed"]["overruns_of_unknown_length"] == 1
    board.close()


def test_a_replay_at_a_speed_takes_its_time_and_waits_for_its_reader(tmp_path: Path, wait_for: Any) -> None:
    path = write(tmp_path / "paced.dt-raw", *(data(k, k * 10, k * 10 + 10) for k in range(10)))
    board = ReplayBoard({"path": str(path), "speed": 2.0})
    board.open()
    started_ns = mono_ns()
    board.start(0)
    assert board.read(0.0) is None
    first = board.read(5.0)
    # 10 samples at 1000 Hz, twice as fast.
    assert mono_ns() - started_ns >= 5_000_000
    assert isinstance(first, Taken)
    wait_for(lambda: mono_ns() - started_ns > 60_000_000)
    rest = [board.read(0.0) for _ in range(10)]
    assert [event.first_sample_index for event in rest[:-1] if isinstance(event, Taken)] == list(range(10, 100, 10))
    assert rest[-1] == Ended(100)
    board.close()


def test_a_stopped_replay_ends_at_the_sample_that_was_due(tmp_path: Path) -> None:
    path = write(tmp_path / "paced.dt-raw", *(data(k, k * 10, k * 10 + 10) for k in range(1000)))
    board = ReplayBoard({"path": str(path)})
    board.open()
    board.start(0)
    board.read(5.0)
    board.stop()
    position = 10
    while isinstance(event := board.read(5.0), Taken):
        assert event.first_sample_index == position
        position += event.codes.shape[1]
    assert event == Ended(position)
    board.close()
    board.close()


def no_file(folder: Path) -> dict[str, Any]:
    return {"path": str(folder / "nothing.dt-raw")}


def a_folder(folder: Path) -> dict[str, Any]:
    return {"path": str(folder)}


def a_text(folder: Path) -> dict[str, Any]:
    (folder / "text.dt-raw").write_text("not a recording of anything at all", encoding="utf-8")
    return {"path": str(folder / "text.dt-raw")}


def an_empty_file(folder: Path) -> dict[str, Any]:
    (folder / "empty.dt-raw").write_bytes(b"")
    return {"path": str(folder / "empty.dt-raw")}


def no_samples(folder: Path) -> dict[str, Any]:
    return {"path": str(write(folder / "header.dt-raw"))}


def no_rate(folder: Path) -> dict[str, Any]:
    chunk = ({"seq": 0, "valid_samples": 1, "t_mono_ns": 0}, np.zeros(1, np.int16))
    return {"path": str(foreign(folder / "rate.dt-raw", {"channels": [{"name": "a"}]}, chunk))}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (no_file, "there is no file"),
        (a_folder, "cannot be read"),
        (a_text, "text.dt-raw"),
        (an_empty_file, "empty.dt-raw"),
        (no_samples, "holds no samples"),
        (no_rate, "sample rate"),
        (lambda _: {}, "has no path"),
        (lambda _: {"path": str(ECG), "speed": "fast"}, "'fast'"),
        (lambda _: {"path": str(ECG), "speed": 0}, "speed"),
        (lambda _: {"path": str(ECG), "sped": 1}, "'sped'"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_way_out(tmp_path: Path, bad: Any, words: str) -> None:
    with pytest.raises(BoardError) as refused:
        ReplayBoard(bad(tmp_path)).open()
    assert words in str(refused.value)
    assert refused.value.remedy
