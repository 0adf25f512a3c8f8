"""What every sink promises, in one suite over all of them and both layouts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import ANCHOR, AWKWARD_NAMES, block, blocks, codes_of, gap, recorded

from dtopipe.model.errors import OutputExists, OutputLocked, SinkError
from dtopipe.model.nulls import NullRange
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, SensorStatus, Stream
from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.registry import OURS, load_reader, load_writer
from dtopipe.sinks.rows.null_ranges import merged

KINDS = [(sink_type, layout) for sink_type in OURS for layout in Layout if (sink_type, layout) != ("hbuf", Layout.LONG)]
FILE_KINDS = [kind for kind in KINDS if kind[0] != "postgres"]
APPENDABLE = ("csv", "jsonl", "sqlite")


@dataclass(frozen=True)
class Sink:
    """One kind of output at one path."""

    type: str
    layout: Layout
    path: Path
    server: dict[str, Any] = field(default_factory=dict)

    def writer(self, on_exists: OnExists = OnExists.ERROR) -> SinkWriter:
        path = None if self.server else self.path
        return load_writer(self.type)(OutputOptions(path, self.layout, on_exists), **self.server)

    def reader(self, run_id: str = "run-1") -> Any:
        path = None if self.server else self.path
        return load_reader(self.type)(path, run_id=run_id, **self.server)

    def rows(self, run_id: str = "run-1") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(sample_index, t_mono_ns, values (n_channels, n)), each channel's index being the same."""
        found: dict[int, list[tuple[np.ndarray, ...]]] = {}
        for batch in self.reader(run_id).batches():
            assert np.array_equal(batch.t_utc_ns - batch.t_mono_ns, [ANCHOR.t_utc_ns - ANCHOR.t_mono_ns] * len(
                batch.sample_index
            ))  # fmt: skip
            for number, values in enumerate(batch.values):
                channel = number if batch.channel is None else batch.channel
                found.setdefault(channel, []).append((batch.sample_index, batch.t_mono_ns, values))
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0))
        parts = [[np.concatenate(part) for part in zip(*found[channel], strict=True)] for channel in sorted(found)]
        assert all(np.array_equal(part[0], parts[0][0]) for part in parts)
        return parts[0][0], parts[0][1], np.stack([part[2] for part in parts])


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Sink:
    """Each kind of output in turn."""
    kind, layout = request.param
    server = {}
    if kind == "postgres":
        postgres = request.getfixturevalue("postgres")
        server = {**postgres.options, "schema": postgres.new_schema()}
    return Sink(kind, layout, tmp_path / "out", server)


@pytest.fixture(params=FILE_KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def file_sink(request: pytest.FixtureRequest, tmp_path: Path) -> Sink:
    """Each kind of output that is a file."""
    kind, layout = request.param
    return Sink(kind, layout, tmp_path / "out")


def expected(stream: Stream, start: int, stop: int) -> np.ndarray:
    codes = codes_of(len(stream.channels), start, stop, stream.dtype).astype(float)
    if stream.channels[0].is_raw:
        return codes
    return codes * stream.channels[0].scale + stream.channels[0].offset


@pytest.mark.parametrize("kind", ["voltage", "raw"])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
@pytest.mark.parametrize("step", [1, 7, 997])
def test_every_sample_is_there_once_in_order_and_to_the_bit(sink: Sink, step: int, dtype: str, kind: str) -> None:
    stream = recorded(("a", "b", "c"), kind, dtype)
    writer = sink.writer()
    assert writer.open(stream, 0, resume=False) == Position()
    n = {1: 60, 7: 500, 997: 2500}[step]
    for number, one in enumerate(blocks(stream, 0, n, step)):
        writer.append([one])
        if number % 3 == 0:
            writer.commit()
    final = writer.close()
    assert final == Position(0, n, n, n, 0, 0)
    index, t_mono_ns, values = sink.rows()
    assert np.array_equal(index, np.arange(n))
    assert np.array_equal(t_mono_ns, ANCHOR.t_mono_ns + np.arange(n) * 1_000_000)
    assert np.array_equal(values, expected(stream, 0, n))
    assert sink.reader().position() == final


def test_gaps_are_stored_with_the_data_and_the_position_always_adds_up(sink: Sink) -> None:
    stream = recorded()
    writer = sink.writer()
    writer.open(stream, 100, resume=False)
    gaps = [gap(stream, 200, 250), gap(stream, 300, 310, Cause.POLICY_DROP), gap(stream, 310, 400)]
    items: list[Block | Gap] = [
        block(stream, 100, 200), gaps[0], block(stream, 250, 300), gaps[1], gaps[2], block(stream, 400, 450),
    ]  # fmt: skip
    writer.append(items[:3])
    middle = writer.commit()
    assert replace(middle, durable=100) == Position(100, 300, 100, 150, 50, 0)
    writer.append(items[3:])
    final = writer.close()
    assert final == Position(100, 450, 450, 200, 150, 10)
    assert final.start + final.samples + final.gap_samples == final.committed
    assert list(sink.reader().gaps()) == gaps
    assert np.array_equal(sink.rows()[0], np.r_[100:200, 250:300, 400:450])


def test_null_values_are_told_from_gaps_and_both_with_their_ranges(sink: Sink) -> None:
    stream = recorded()
    n_channels = len(stream.channels)

    def faulty(start: int, stop: int) -> Block:
        """Channel 1 is open from 130 to 260, and out of its range at 300; channel 0 at each second one of the last."""
        status = np.zeros((n_channels, stop - start), np.int8)
        index = np.arange(start, stop)
        status[1, (index >= 130) & (index < 260)] = SensorStatus.OPEN
        status[1, index == 300] = SensorStatus.HIGH
        status[0, (index >= 1000) & (index % 2 == 0)] = SensorStatus.LOW
        return replace(block(stream, start, stop), sensor_status=status)

    writer = sink.writer()
    writer.open(stream, 100, resume=False)
    writer.append([faulty(100, 150)])
    writer.commit()
    writer.append([faulty(150, 200), gap(stream, 200, 250)])
    writer.commit()
    writer.append([faulty(250, 290)])
    writer.abandon()
    writer = sink.writer()
    assert writer.open(stream, 100, resume=True).committed == 250
    writer.append([faulty(250, 290)])
    writer.commit()
    writer.append([faulty(290, 320), gap(stream, 320, 1000)])
    writer.append([faulty(1000, 1400)])
    writer.close()
    reader = sink.reader()
    found = merged(list(reader.nulls()))
    assert found[1:] == [
        NullRange(1, Span(130, 200), 70, SensorStatus.OPEN),
        NullRange(1, Span(250, 260), 10, SensorStatus.OPEN),
        NullRange(1, Span(300, 301), 1, SensorStatus.HIGH),
    ]
    # What flickers is told of once.
    assert found[0] == NullRange(0, Span(1000, 1399), 200, SensorStatus.LOW)
    assert [each.span for each in reader.gaps()] == [Span(200, 250), Span(320, 1000)]
    index, _, values = sink.rows()
    assert index[np.isnan(values[1])].tolist() == [*range(130, 200), *range(250, 260), 300]


def test_only_sync_and_close_make_durable(sink: Sink) -> None:
    stream = recorded()
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 200))
    # A database makes each transaction durable.
    at_once = sink.type == "postgres"
    assert writer.commit().durable == (200 if at_once else 0)
    assert writer.sync().durable == 200
    writer.append(blocks(stream, 200, 300))
    assert (writer.commit().durable, writer.close().durable) == (300 if at_once else 200, 300)


def test_a_run_without_samples_is_a_whole_output(sink: Sink) -> None:
    writer = sink.writer()
    writer.open(recorded(), 0, resume=False)
    assert writer.close() == Position()
    assert len(sink.rows()[0]) == 0
    assert sink.reader().position() == Position()


def test_who_resumes_goes_on_exactly_behind_the_last_commit(sink: Sink) -> None:
    stream = recorded()
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 200))
    writer.commit()
    writer.append(blocks(stream, 200, 700))
    writer.abandon()
    successor = sink.writer()
    position = successor.open(stream, 0, resume=True)
    assert (position.committed, position.samples) == (200, 200)
    successor.append(blocks(stream, 200, 1000))
    assert successor.close().samples == 1000
    assert np.array_equal(sink.rows()[0], np.arange(1000))
    assert np.array_equal(sink.rows()[2], expected(stream, 0, 1000))


def test_who_resumes_where_nothing_was_begun_begins(sink: Sink) -> None:
    stream = recorded()
    writer = sink.writer()
    assert writer.open(stream, 30, resume=True) == Position(30, 30, 30)
    writer.append([block(stream, 30, 40)])
    writer.close()
    assert np.array_equal(sink.rows()[0], np.arange(30, 40))


@pytest.mark.parametrize("on_exists", list(OnExists))
@pytest.mark.parametrize("run_id", ["run-1", "run-2"])
def test_two_writers_never_meet_on_one_output(sink: Sink, run_id: str, on_exists: OnExists) -> None:
    if sink.type == "postgres":
        # Of a database the output is the run.
        run_id = "run-1"
    stream = recorded()
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 100))
    writer.commit()
    with pytest.raises(OutputLocked) as refused:
        sink.writer(on_exists).open(recorded(run_id=run_id), 0, resume=run_id == "run-1")
    assert refused.value.path == (str(sink.path) if not sink.server else sink_target(sink))
    assert refused.value.remedy
    writer.append(blocks(stream, 100, 200))
    assert writer.close().samples == 200
    assert len(sink.rows()[0]) == 200


def sink_target(sink: Sink) -> str:
    return f"postgres://127.0.0.1:{sink.server['port']}/postgres.{sink.server['schema']}"


@pytest.mark.parametrize("theirs", ["another run's output", "notes of the user"])
def test_a_successor_never_touches_what_is_not_of_its_run(file_sink: Sink, theirs: str) -> None:
    sink = file_sink
    if theirs == "another run's output":
        write_a_run(sink, "run-1", 100)
    else:
        sink.path.write_bytes(b"by hand")
    before = {path.name: path.read_bytes() for path in sink.path.parent.iterdir()}
    with pytest.raises(OutputExists):
        sink.writer().open(recorded(run_id="run-2"), 0, resume=True)
    assert {path.name: path.read_bytes() for path in sink.path.parent.iterdir()} == before


def write_a_run(sink: Sink, run_id: str, n: int, on_exists: OnExists = OnExists.ERROR) -> None:
    stream = recorded(run_id=run_id)
    writer = sink.writer(on_exists)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, n))
    writer.close()


def test_an_output_that_is_there_is_never_touched_unless_told(file_sink: Sink) -> None:
    sink = file_sink
    write_a_run(sink, "run-1", 100)
    before = sink.path.read_bytes()
    with pytest.raises(OutputExists) as refused:
        write_a_run(sink, "run-2", 100)
    assert "rename" in refused.value.remedy
    assert sink.path.read_bytes() == before
    write_a_run(sink, "run-2", 200, OnExists.RENAME)
    aside = sink.path.with_name("out.1")
    assert aside.read_bytes() == before
    assert len(Sink(sink.type, sink.layout, aside).rows("run-1")[0]) == 100
    assert len(sink.rows("run-2")[0]) == 200
    write_a_run(sink, "run-3", 50, OnExists.OVERWRITE)
    assert len(sink.rows("run-3")[0]) == 50


def test_a_second_run_is_appended_where_a_file_can_hold_two(file_sink: Sink) -> None:
    sink = file_sink
    write_a_run(sink, "run-1", 100)
    before = sink.path.read_bytes()
    if sink.type not in APPENDABLE:
        with pytest.raises(SinkError, match="run"):
            write_a_run(sink, "run-2", 100, OnExists.APPEND)
        assert sink.path.read_bytes() == before
        return
    write_a_run(sink, "run-2", 300, OnExists.APPEND)
    assert len(sink.rows("run-2")[0]) == 300
    if sink.type == "sqlite":
        assert len(sink.rows("run-1")[0]) == 100
    else:
        assert sink.path.read_bytes().startswith(before)


def test_awkward_channel_names_come_back_as_they_were(sink: Sink) -> None:
    stream = recorded(AWKWARD_NAMES)
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 30))
    writer.close()
    assert np.array_equal(sink.rows()[2], expected(stream, 0, 30))


def test_what_the_sensor_could_not_tell_is_null(sink: Sink) -> None:
    stream = recorded()
    status = np.zeros((2, 10), np.int8)
    status[0, 3:5] = 1
    status[1, 9] = 3
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append([block(stream, 0, 10, 0, status), block(stream, 10, 20, 1)])
    writer.close()
    assert np.array_equal(np.isnan(sink.rows()[2]), np.hstack([status != 0, np.zeros((2, 10), bool)]))


def test_a_board_that_converts_by_itself_may_deliver_any_float(sink: Sink) -> None:
    stream = recorded(("a",), "raw", "float64")
    values = np.array([[0.1, -0.0, 1e-300, 1e300, np.nan, 123456789.123456789, np.inf, -np.inf, 5e-324, 2.5]])
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append([Block(0, 0, values, ANCHOR)])
    writer.close()
    found = sink.rows()[2]
    # JSON has no infinities.
    wanted = np.where(np.isinf(values), np.nan, values) if sink.type == "jsonl" else values
    assert np.array_equal(found, wanted, equal_nan=True)
    # SQLite stores a whole number as an integer, which has no -0.
    assert np.signbit(found[0, 1]) == (sink.type != "sqlite")


def test_a_writer_that_is_not_open_says_so(sink: Sink) -> None:
    stream = recorded()
    writer = sink.writer()
    with pytest.raises(SinkError, match="open"):
        append_and_commit(writer, blocks(stream, 0, 10))
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.close()
    with pytest.raises(SinkError, match="open"):
        append_and_commit(writer, blocks(stream, 0, 10))
    writer.abandon()


def append_and_commit(writer: SinkWriter, items: list[Block]) -> int:
    writer.append(items)
    return writer.commit().committed


@pytest.mark.parametrize("kind", [kind for kind in FILE_KINDS if kind[1] is Layout.WIDE], ids=lambda kind: kind[0])
def test_a_full_disk_is_said_with_the_way_out_and_the_output_goes_on_once_there_is_room(
    small_disk: Any, kind: tuple[str, Layout]
) -> None:
    disk = small_disk("1m")
    sink = Sink(*kind, disk.path / "out")
    filler = disk.path / "filler"
    filler.write_bytes(bytes(600_000))
    stream = recorded(tuple("abcdefgh"))
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    committed = 0
    rng = np.random.default_rng(0)
    noise = {
        at: Block(at // 100, at, rng.integers(-30_000, 30_000, (8, 100)).astype(np.int16), ANCHOR)
        for at in range(0, 40_000, 100)
    }
    refused = None
    try:
        for one in noise.values():
            committed = append_and_commit(writer, [one])
        writer.close()
    except SinkError as error:
        refused = error
    assert refused is not None
    assert refused.path is not None
    assert refused.remedy
    writer.abandon()
    filler.unlink()
    disk.resize("20m")
    successor = sink.writer()
    position = successor.open(stream, 0, resume=True)
    assert position.committed >= committed
    successor.append([one for at, one in noise.items() if at >= position.committed])
    assert successor.close().samples == 40_000
    assert np.array_equal(sink.rows()[0], np.arange(40_000))
    codes = np.concatenate([one.codes for one in noise.values()], axis=1)
    assert np.array_equal(sink.rows()[2], codes * stream.channels[0].scale + stream.channels[0].offset)
