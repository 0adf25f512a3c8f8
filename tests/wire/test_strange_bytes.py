"""Records, headers, lines and descriptions whose checksums fit, and whose values no writer of ours has written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from dtopipe.model.errors import WireError
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel, Stream
from dtopipe.wire.commit_bytes import State, header_in, new_record, packed_gap, state_in, whole_entries_in
from dtopipe.wire.describe import channel_from, describe_stream, gaps_from, position_from, stream_from
from dtopipe.wire.dtraw_headers import FileHeader, chunk_document, chunk_header_from, file_document, file_header_from
from dtopipe.wire.dtraw_headers import gap_chunk as gap_chunk_of
from dtopipe.wire.gap_lines import gap_from_line, gap_line, json_line

STREAM = Stream("run-1", "lab", "simulated", (Channel("flux", "V"), Channel("tc")), "int16", 1000.0, 50, "2026-01-01")
POSITION = Position(0, 100, 50, 90, 10, 5)


def _state_of(position: Position, data_bytes: int = 900, n_gaps: int = 1) -> State:
    state = State(2, position, data_bytes, n_gaps, False, b"")
    data, header = new_record(STREAM, "csv", 0, state)
    return state_in(header, data)


def test_a_position_that_adds_up_is_read() -> None:
    assert _state_of(POSITION).position == POSITION


@pytest.mark.parametrize(
    "changes",
    [{"start": -1}, {"committed": 2**62 + 1}, {"committed": 99}, {"durable": 101}, {"durable": -1}, {"samples": -90},
     {"samples": 91}, {"gap_samples": 2**50}, {"dropped": 11}, {"dropped": -1}, {"retained_from": 101},
     {"start": 101, "samples": -11}],
)  # fmt: skip
def test_numbers_that_do_not_add_up_are_no_record(changes: dict[str, int]) -> None:
    with pytest.raises(WireError, match="neither of its two records is whole"):
        _state_of(replace(POSITION, **changes))
    with pytest.raises(WireError, match="do not add up"):
        position_from({**{name: getattr(POSITION, name) for name in POSITION.__slots__}, **changes})


def test_a_length_beyond_any_file_is_no_record() -> None:
    with pytest.raises(WireError):
        _state_of(POSITION, data_bytes=2**63)


def test_a_count_of_gaps_asks_for_no_more_than_is_there() -> None:
    gap = packed_gap(Gap(Span(3, 5), Cause.TRANSPORT, 7))
    assert len(whole_entries_in(gap, 2**63)) == 1
    for span in (Span(-1, 5), Span(5, 3), Span(0, 2**63 - 1)):
        assert whole_entries_in(packed_gap(Gap(span, Cause.TRANSPORT, 7)), 1) == []


@pytest.mark.parametrize(
    "text", [b"{}", b"null", b"[" * 5000, b'{"sink_type": 5}', b'{"sink_type": "csv", "data_origin": -1, "stream": {}}']
)
def test_a_header_that_is_none_is_refused(text: bytes) -> None:
    data, header = new_record(STREAM, "csv", 0, State(0, Position(), 0, 0, False, b""))
    forged = data[:12] + len(text).to_bytes(4, "little") + text.ljust(header.records_at - 16, b"\0")
    with pytest.raises(WireError):
        header_in(forged)
    with pytest.raises(WireError, match="cut"):
        header_in(data[:12] + b"\xff\xff\xff\x7f" + data[16:])


def test_a_later_versions_description_is_read() -> None:
    description = {**describe_stream(STREAM), "later": 1}
    description["channels"] = [{**channel, "later": [1]} for channel in description["channels"]]
    assert stream_from(description) == STREAM


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("run_id", [5, None, [], "x" * 5000]),
        ("channels", [5, None, "ab", [5], [{}], [{"name": "a", "scale": "1"}], [{"name": "a", "scale": math.nan}],
                      [{"name": "a", "offset": math.inf}], [{"name": "a", "range": [1]}], [{"name": 5}]]),
        ("dtype", ["O", "S100000000", "V8", 5, None]),
        ("rate_hz", [0.0, -1, math.nan, math.inf, "1", True, 10**400]),
        ("samples_per_block", [-1, 2**62, 1.5, True, "1"]),
        ("metadata", [5, [], {"a": b"bytes"}, {5: 1}, {"a": {"b": {1: 2}}}]),
        ("simulated", [1, "yes", None]),
    ],
)  # fmt: skip
def test_a_description_that_no_stream_has_is_refused(key: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(WireError, match=f"not the description of a stream: {key}"):
            stream_from({**describe_stream(STREAM), key: value})
    descriptions: list[object] = [None, 5, [], "x", {}]
    for description in descriptions:
        with pytest.raises(WireError):
            stream_from(description)
        with pytest.raises(WireError):
            channel_from(description)


def test_a_whole_number_is_read_as_the_number_that_it_is() -> None:
    channel = channel_from({"name": "a", "scale": 2, "offset": 2**63, "range": [-(2**70), 2**70]})
    assert repr((channel.scale, channel.offset)) == repr((2.0, 2.0**63))
    assert repr(channel.range) == repr((-(2.0**70), 2.0**70))
    stream = stream_from({**describe_stream(STREAM), "rate_hz": 1000})
    assert repr(stream.rate_hz) == "1000.0"


@pytest.mark.parametrize("gap", [[0, True, "transport", 1], [5, 3, "transport", 1], [0, 2**64, "transport", 1], [0, 1]])
def test_gaps_that_are_none_are_refused(gap: list[Any]) -> None:
    with pytest.raises(WireError):
        gaps_from([gap])


@pytest.mark.parametrize(
    "changes",
    [{"start": -1}, {"start": "1"}, {"stop": 2}, {"stop": 2**63}, {"cause": "bad luck"}, {"cause": 5}, {"sink": 5},
     {"t_utc": 5}, {"t_utc": "yesterday"}, {"t_utc": "9999-01-01T00:00:00Z"}, {"start": None}],
)  # fmt: skip
def test_a_line_of_gaps_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    line = gap_line("a\x1b\nb", Gap(Span(3, 5), Cause.TRANSPORT, 10**18))
    assert gap_from_line(json_line(line)) == ("a\x1b\nb", Gap(Span(3, 5), Cause.TRANSPORT, 10**18))
    with pytest.raises(WireError, match="not a line of gaps"):
        gap_from_line(json.dumps({**line, **changes}))


@pytest.mark.parametrize("line", ["", "null", "[]", "5", "[" * 100_000, "\x00"])
def test_what_is_no_line_at_all_is_refused(line: str) -> None:
    with pytest.raises(WireError):
        gap_from_line(line)


@pytest.mark.parametrize(
    "changes",
    [{"format_version": [2]}, {"format_version": "two"}, {"format_version": -1}, {"format_version": 2.5},
     {"device": 5}, {"task": ["x"]}, {"task_started_at": 5}, {"metadata": [["a", 1]]}, {"metadata": "x"},
     {"sample_rate_hz": "1000"}, {"sample_rate_hz": True}, {"samples_per_buffer": "50"}, {"block_period_ns": "x"},
     {"channels": [{"name": 5}]}, {"channels": [{"name": "a", "scale": "1"}]}, {"dtype": "O"}],
)  # fmt: skip
def test_a_raw_files_header_has_the_types_that_it_should(changes: dict[str, Any]) -> None:
    document = file_document(FileHeader.of(STREAM))
    assert file_header_from(document).device == "simulated"
    with pytest.raises(WireError):
        file_header_from({**document, **changes})


@pytest.mark.parametrize(
    "changes",
    [{"first_sample_index": -1}, {"seq": "1"}, {"valid_samples": True}, {"valid_samples": 1.5}, {"gap": [-1, 5]},
     {"gap": [5, 3]}, {"gap": ["3", "5"]}, {"flags": [5]}, {"error": 5}, {"event_kind": [1]}, {"t_mono_ns": 2**63},
     {"anchor": [1, 2]}, {"anchor": ["1", "2", "3"]}],
)  # fmt: skip
def test_a_chunks_header_has_the_types_that_it_should(changes: dict[str, Any]) -> None:
    document = chunk_document(gap_chunk_of(1, Gap(Span(3, 5), Cause.TRANSPORT, 10**18), 7), 0)
    assert chunk_header_from(document, 2).gap == Gap(Span(3, 5), Cause.TRANSPORT, 10**18)
    with pytest.raises(WireError):
        chunk_header_from({**document, **changes}, 2)
