"""The bytes that PROTOCOL.md specifies."""

from __future__ import annotations

import contextlib
import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtopipe.model.clock import Anchor, utc_ns
from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.file.commit_record import CommitRecord, read_commit_record
from dtopipe.sinks.hbuf.reader import HbufReader
from dtopipe.wire.control import Message, decode, encode
from dtopipe.wire.describe import describe_stream
from dtopipe.wire.descriptor import decode_descriptor, encode_descriptor, topic
from dtopipe.wire.dtraw import (
    ChunkHeader,
    FileHeader,
    decode_status,
    encode_chunk,
    encode_file_header,
    encode_status,
    gap_chunk,
    iter_chunk_headers,
    iter_chunks,
    notes_chunk,
    read_file_header,
)
from dtopipe.wire.dtraw_headers import chunk_document, chunk_text
from dtopipe.wire.messages import TO_ACQUIRER, StartBoard, StopBoard

T_UTC_NS = utc_ns("2026-11-22T23:41:00.000000123+00:00")
STREAM = Stream(
    "run-1", "flux", "sim", (Channel("a", "V", scale=0.5, offset=-1.0, range=(-1.0, 1.0)), Channel("b")),
    "int16", 1000.0, 3, "2026-11-22T23:41:00+00:00", {"k": 1},
)  # fmt: skip


def test_a_dt_raw_file_has_just_these_bytes() -> None:
    header = encode_file_header(FileHeader.of(STREAM))
    text = (
        b'{"format_version": 2, "task": "flux", "device": "sim", "channels": [{"name": "a", "unit": "V", "scale": 0.5,'
        b' "offset": -1.0, "range": [-1.0, 1.0]}, {"name": "b", "unit": "", "scale": 1.0, "offset": 0.0,'
        b' "range": null}], "sample_rate_hz": 1000.0, "block_period_ns": 1000000, "dtype": "int16", "n_channels": 2,'
        b' "samples_per_buffer": 3, "task_started_at": "2026-11-22T23:41:00+00:00",'
        b' "metadata": {"k": 1, "run_id": "run-1", "simulated": false}}'
    )
    assert header == struct.pack("<I", len(text)) + text
    codes = np.array([[1, 2, 3], [-1, -2, 32767]], np.int16)
    chunk = b"".join(encode_chunk(ChunkHeader(0, 5, 3, 3, 42, T_UTC_NS, block_index=7), codes))
    payload = bytes.fromhex("010002000300fffffeffff7f")
    text = (
        b'{"seq": 0, "event_kind": "buffer_done", "first_sample_index": 5, "valid_samples": 3, "buffer_capacity": 3,'
        b' "t_mono_ns": 42, "t_utc": "2026-11-22T23:41:00.000000123+00:00", "flags": [],'
        b' "checksum": {"algorithm": "crc32", "value": %d}, "block_index": 7}' % zlib.crc32(payload)
    )
    assert chunk == struct.pack("<I", len(text)) + text + payload
    gap = gap_chunk(1, Gap(Span(8, 20), Cause.BOARD_OVERRUN, T_UTC_NS), 43)
    (framed, empty) = encode_chunk(gap, np.empty((2, 0), np.int16))
    assert empty == b""
    document = json.loads(framed[4:])
    assert (document["flags"], document["gap"], document["cause"]) == (["overrun_marker"], [8, 20], "board_overrun")
    assert document["valid_samples"] == 0


def test_a_chunk_of_notes_has_just_these_bytes() -> None:
    mark = Mark(1, "Zünd", 20, 5, T_UTC_NS, "", "ada@lab", T_UTC_NS)
    notes = {"metadata": {"sample": "A7"}, "marks": [mark.to_json()]}
    text = (
        b'{"seq": 9, "event_kind": "buffer_done", "first_sample_index": 500, "valid_samples": 0, "buffer_capacity": 0,'
        b' "t_mono_ns": 43, "t_utc": "2026-11-22T23:41:00.000000123+00:00", "flags": [],'
        b' "checksum": {"algorithm": "crc32", "value": 0}, "notes": {"metadata": {"sample": "A7"}, "marks":'
        b' [{"number": 1, "label": "Z\\u00fcnd", "text": "", "sample_index": 20, "t_mono_ns": 5,'
        b' "t_utc": "2026-11-22T23:41:00.000000123Z", "by": "ada@lab", "set_at": "2026-11-22T23:41:00.000000123Z"}]}}'
    )
    (framed, empty) = encode_chunk(notes_chunk(9, 500, notes, 43, T_UTC_NS), np.empty((0, 0), np.int16))
    assert (framed, empty) == (struct.pack("<I", len(text)) + text, b"")


def _file(path: Path) -> list[int]:
    """A small file; returns the offsets at which it may be cut cleanly."""
    codes = np.arange(6, dtype=np.int16).reshape(2, 3)
    pieces = [
        encode_file_header(FileHeader.of(STREAM)),
        b"".join(encode_chunk(ChunkHeader(0, 0, 3, 3, 1, T_UTC_NS), codes)),
        b"".join(encode_chunk(gap_chunk(1, Gap(Span(3, 5), Cause.POLICY_DROP, T_UTC_NS), 2), codes[:, :0])),
        b"".join(encode_chunk(ChunkHeader(2, 5, 3, 3, 3, T_UTC_NS), codes + 9)),
    ]
    path.write_bytes(b"".join(pieces))
    return [sum(map(len, pieces[: n + 1])) for n in range(len(pieces))]


def test_a_file_cut_at_any_byte_gives_its_whole_chunks_and_then_an_error(tmp_path: Path) -> None:
    whole = tmp_path / "whole.dt-raw"
    ends = _file(whole)
    data = whole.read_bytes()
    for cut in range(len(data)):
        path = tmp_path / "cut.dt-raw"
        path.write_bytes(data[:cut])
        found: list[int] = []
        message = None
        try:
            found.extend(header.seq for header, _ in iter_chunks(path))
        except WireError as error:
            message = str(error)
        clean = message is None
        assert clean or str(path) in str(message)
        assert found == list(range(sum(1 for end in ends[1:] if end <= cut)))
        assert clean == (cut in ends)


def test_a_payload_that_was_changed_does_not_pass_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.dt-raw"
    ends = _file(path)
    data = bytearray(path.read_bytes())
    data[ends[1] - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WireError, match="checksum"):
        list(iter_chunks(path))


def test_lengths_of_a_stranger_allocate_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.dt-raw"
    path.write_bytes(struct.pack("<I", 0xFFFF_FFF0) + b"{}")
    with pytest.raises(WireError, match="byte 0"):
        read_file_header(path)


def test_a_number_of_a_stranger_is_held_against_the_file_before_anything_is_laid_out(tmp_path: Path) -> None:
    path = tmp_path / "a.dt-raw"
    head = encode_file_header(FileHeader.of(STREAM))
    for hostile in (
        {"valid_samples": 10**15},
        {"valid_samples": 3, "sensor_status": [[[0, 3]], [[0, 10**15]]]},
        {"valid_samples": 3, "sensor_status": [[[0, 3]]]},
    ):
        chunk = json.dumps({"seq": 0, "t_mono_ns": 0, **hostile}).encode()
        path.write_bytes(head + struct.pack("<I", len(chunk)) + chunk + bytes(12))
        for read in (iter_chunks, iter_chunk_headers):
            with pytest.raises(WireError, match=r"byte \d+"):
                list(read(path))


STRANGE: st.SearchStrategy[object] = st.sampled_from(
    [None, True, -1, 0, 1, 1e400, math.nan, -0.5, 10**400, 2**63, 10**15, "x", "", [], {}, [[]], [1], {"a": 1},
     "float64", ">i2", "U5", "O", "datetime64[ns]", "V8"]
)  # fmt: skip


def _places(document: object) -> list[list[object]]:
    """The way to every value in a JSON document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [way for key, value in items for way in ([key], *([key, *further] for further in _places(value)))]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_a_header_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    status = encode_status(np.array([[0, 1, 1], [0, 0, 0]], np.int8))
    chunk = ChunkHeader(1, 0, 3, 3, 1, T_UTC_NS, block_index=4, sensor_status=status, error="x")
    codes = np.arange(6, dtype=np.int16).reshape(2, 3)
    framed = [
        encode_file_header(FileHeader.of(STREAM)),
        encode_chunk(chunk, codes)[0],
        encode_chunk(gap_chunk(1, Gap(Span(3, 5), Cause.POLICY_DROP, T_UTC_NS), 2), codes[:, :0])[0],
    ]
    documents = [json.loads(one[4:]) for one in framed]
    spoilt = data.draw(st.sampled_from(documents))
    *way, key = data.draw(st.sampled_from(_places(spoilt)))
    for step in way:
        spoilt = spoilt[step]
    spoilt[key] = data.draw(STRANGE)
    path = tmp_path / "a.dt-raw"
    texts = [json.dumps(document).encode() for document in documents]
    payloads = (b"", codes.tobytes(), b"")
    path.write_bytes(b"".join(struct.pack("<I", len(t)) + t + p for t, p in zip(texts, payloads, strict=True)))
    for read in (iter_chunks, iter_chunk_headers):
        with contextlib.suppress(WireError):
            list(read(path))
    with contextlib.suppress(WireError, SinkError):
        for _ in HbufReader(path).batches():
            pass


def test_what_another_program_wrote_is_read_without_our_keys_and_past_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.dt-raw"
    file = {"channels": [{"name": "a"}, {"name": "b", "colour": "red"}], "dtype": "uint8", "theirs": [1]}
    chunk = {"seq": 3, "valid_samples": 2, "t_mono_ns": 9, "checksum": "theirs", "theirs": None}
    pieces = [json.dumps(document).encode() for document in (file, chunk)]
    path.write_bytes(b"".join(struct.pack("<I", len(text)) + text for text in pieces) + bytes([1, 2, 3, 4]))
    header = read_file_header(path)
    assert not header.has_scales
    assert [(channel.name, channel.is_raw) for channel in header.channels] == [("a", True), ("b", True)]
    [(found, codes)] = iter_chunks(path)
    assert (found.seq, found.gap, found.block_index) == (3, None, None)
    assert codes.tolist() == [[1, 2], [3, 4]]


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_sensor_status_survives_its_run_lengths(rows: list[list[int]]) -> None:
    status = np.array(rows, np.int8)
    assert np.array_equal(decode_status(encode_status(status)), status)


def test_a_commit_record_has_just_these_bytes(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    record = CommitRecord.begin(path, STREAM, "csv", 10, 77)
    gap = Gap(Span(10, 14), Cause.POLICY_DROP, T_UTC_NS)
    record.commit(Position(10, 20, 10, 6, 4, 4), 500, [gap], b"xyz")
    record.release()
    data = (tmp_path / "out.csv.dtopipe").read_bytes()
    magic, version, length = struct.unpack_from("<8sII", data)
    assert (magic, version) == (b"DTOPIPEC", 2)
    header = json.loads(data[16 : 16 + length])
    assert (header["sink_type"], header["data_origin"], header["stream"]["run_id"]) == ("csv", 77, "run-1")
    at = -(-(16 + length) // 512) * 512
    assert len(data) == at + 1024 + 32
    first = struct.unpack_from("<Q6qQQBB6x32sqq", data, at)
    second = struct.unpack_from("<Q6qQQBB6x32sqq", data, at + 512)
    assert first == (0, 10, 10, 10, 0, 0, 0, 77, 0, 0, 0, bytes(32), 0, 0)
    assert second == (1, 10, 20, 10, 6, 4, 4, 500, 1, 0, 3, b"xyz".ljust(32, b"\0"), 0, 0)
    for offset in (at, at + 512):
        assert struct.unpack_from("<I", data, offset + 508)[0] == zlib.crc32(data[offset : offset + 508])
    assert struct.unpack_from("<qqqI", data, at + 1024) == (10, 14, T_UTC_NS, 3)
    assert struct.unpack_from("<I", data, at + 1024 + 28)[0] == zlib.crc32(data[at + 1024 : at + 1024 + 28])
    snapshot = read_commit_record(path)
    assert snapshot is not None
    assert (snapshot.position, snapshot.data_bytes, snapshot.gaps) == (Position(10, 20, 10, 6, 4, 4), 500, (gap,))
    assert snapshot.stream == STREAM
    resumed = CommitRecord.resume(path, "run-1")
    assert resumed is not None
    resumed.sync()
    resumed.commit(Position(10, 30, 20, 16, 4, 4), 700)
    resumed.release()
    snapshot = read_commit_record(path)
    assert snapshot is not None
    assert (snapshot.position.durable, snapshot.durable_bytes, snapshot.data_bytes) == (20, 500, 700)
    # What earlier versions left where the next, shorter file of an output was begun.
    resumed = CommitRecord.resume(path, "run-1")
    assert resumed is not None
    resumed.commit(Position(10, 40, 20, 26, 4, 4), 90)
    resumed.release()
    snapshot = read_commit_record(path)
    assert snapshot is not None
    assert (snapshot.position.committed, snapshot.durable_bytes, snapshot.data_bytes) == (40, 500, 90)


def test_a_commit_record_of_version_1_is_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    text = json.dumps({"sink_type": "csv", "data_origin": 77, "stream": describe_stream(STREAM)}).encode()
    head = (struct.pack("<8sII", b"DTOPIPEC", 1, len(text)) + text).ljust(-(-(16 + len(text)) // 64) * 64, b"\0")
    body = struct.pack("<Q6qQQBB6x32sq", 4, 10, 20, 10, 6, 4, 4, 500, 1, 0, 3, b"xyz", 0).ljust(124, b"\0")
    gap = struct.pack("<qqqI", 10, 14, T_UTC_NS, 3)
    data = head + body + struct.pack("<I", zlib.crc32(body)) + bytes(128) + gap + struct.pack("<I", zlib.crc32(gap))
    (tmp_path / "out.csv.dtopipe").write_bytes(data)
    snapshot = read_commit_record(path)
    assert snapshot is not None
    assert (snapshot.position, snapshot.data_bytes) == (Position(10, 20, 10, 6, 4, 4), 500)
    assert (snapshot.extra, snapshot.durable_bytes, len(snapshot.gaps)) == (b"xyz", 0, 1)
    record = CommitRecord.resume(path, "run-1")
    assert record is not None
    record.commit(Position(10, 40, 10, 26, 4, 4), 900)
    record.sync()
    record.release()
    snapshot = read_commit_record(path)
    assert snapshot is not None
    assert (snapshot.position, snapshot.data_bytes) == (Position(10, 40, 40, 26, 4, 4), 900)


def test_a_torn_record_counts_for_nothing_and_the_older_one_holds(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    record = CommitRecord.begin(path, STREAM, "csv", 0, 0)
    record.commit(Position(0, 5, 0, 5), 50)
    record.commit(Position(0, 9, 0, 9), 90)
    record.release()
    file = tmp_path / "out.csv.dtopipe"
    data = file.read_bytes()
    at = len(data) - 1024
    for byte in range(at, at + 512):  # commits 0, 1 and 2: the last lies in place 0
        torn = bytearray(data)
        torn[byte] ^= 0x40
        file.write_bytes(torn)
        snapshot = read_commit_record(path)
        assert snapshot is not None
        assert snapshot.position.committed == 5
    file.write_bytes(data[:at] + bytes(1024))
    with pytest.raises(SinkError, match="neither of its two records is whole"):
        read_commit_record(path)
    file.write_bytes(b"something else entirely")
    with pytest.raises(SinkError, match="not a commit record"):
        read_commit_record(path)


def test_a_descriptor_has_just_these_bytes() -> None:
    assert encode_descriptor(3, -1) == b"\x01\x03" + bytes(7) + b"\xff" * 8
    assert decode_descriptor(encode_descriptor(12, 345)) == (12, 345)
    assert topic(7) == b"07"
    for hostile in (b"", b"\x02" + bytes(16), bytes(17), bytes(18)):
        with pytest.raises(WireError):
            decode_descriptor(hostile)


@given(st.binary(max_size=200) | st.just(encode(Message("stop", {"now": True}))))
def test_hostile_control_frames_raise_nothing_but_wire_errors(frame: bytes) -> None:
    for mutated in (frame, frame[:-1], frame + b"\xc1", bytes(reversed(frame)), b"\xdf\xff\xff\xff\xff" + frame):
        try:
            message = decode(mutated)
        except WireError:
            continue
        assert isinstance(message.kind, str)


def test_a_message_that_lacks_a_key_says_which() -> None:
    sound = StartBoard("dtopipe-1", "", 5, Cause.BOARD_AWAY)
    message = decode(encode(sound))
    assert TO_ACQUIRER.read(message) == sound
    assert TO_ACQUIRER.read(decode(encode(StopBoard()))) == StopBoard(hurry=False)
    assert TO_ACQUIRER.read(Message("stop")) == StopBoard(hurry=False)
    assert TO_ACQUIRER.read(Message("no such word")) is None
    with pytest.raises(WireError, match="'start': segment is absent"):
        TO_ACQUIRER.read(Message("start", {"held": ""}))
    with pytest.raises(WireError, match="'start': segment: it is NoneType, not str"):
        TO_ACQUIRER.read(Message("start", {**message.body, "segment": None}))


@pytest.mark.parametrize(
    "header",
    [
        ChunkHeader(0, 5, 3, 3, 42, T_UTC_NS, block_index=7, anchor=Anchor(1, 2, T_UTC_NS)),
        ChunkHeader(0, 5, 3, 3, -42, T_UTC_NS),
        ChunkHeader(0, 5, 3, 3, 42, T_UTC_NS, 7, flags=("a",), anchor=Anchor(1, 2, 3)),
        ChunkHeader(0, 5, 3, 3, 42, T_UTC_NS, 7, event_kind='"', anchor=Anchor(1, 2, 3)),
        ChunkHeader(0, 5, 3, 3, 42, T_UTC_NS, 7, error='"', anchor=Anchor(1, 2, 3)),
        gap_chunk(1, Gap(Span(3, 5), Cause.POLICY_DROP, T_UTC_NS), 2),
    ],
)
def test_the_text_of_a_chunk_is_its_document_as_json(header: ChunkHeader) -> None:
    assert chunk_text(header, 2**32 - 1) == json.dumps(chunk_document(header, 2**32 - 1))
