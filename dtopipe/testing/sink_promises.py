"""What every sink promises while nothing goes wrong: samples, gaps, nulls, positions, locks and names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dtopipe.model.errors import OutputExists, OutputLocked, SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.nulls import NullRange
from dtopipe.model.policy import OnExists
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.span import merged as merged_gaps
from dtopipe.model.stream import Block, SensorStatus
from dtopipe.sinks.contract import MarkedReader, NotingWriter, SinkWriter
from dtopipe.sinks.rows.null_ranges import merged
from dtopipe.testing.recordings import ANCHOR, block, blocks, gap, recorded
from dtopipe.testing.sink_suite import SinkSuite
from dtopipe.testing.sink_under_test import Appends, SinkUnderTest, expected


class SinkPromises(SinkSuite):
    """Each test is one sentence of `dtopipe.sinks.contract`."""

    @pytest.mark.parametrize("kind", ["voltage", "raw"])
    @pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
    @pytest.mark.parametrize("step", [1, 7, 997])
    def test_every_sample_is_there_once_in_order_and_to_the_bit(
        self, sink: SinkUnderTest, step: int, dtype: str, kind: str
    ) -> None:
        if dtype not in sink.dtypes:
            pytest.skip(f"it takes no {dtype}")
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

    def test_gaps_are_stored_with_the_data_and_the_position_always_adds_up(self, sink: SinkUnderTest) -> None:
        stream = recorded()
        writer = sink.writer()
        writer.open(stream, 100, resume=False)
        gaps = [gap(stream, 200, 250), gap(stream, 300, 310, Cause.POLICY_DROP), gap(stream, 310, 400)]
        items: list[Block | Gap] = [
            block(stream, 100, 200),
            gaps[0],
            block(stream, 250, 300),
            gaps[1],
            gaps[2],
            block(stream, 400, 450),
        ]
        writer.append(items[:3])
        middle = writer.commit()
        assert replace(middle, durable=100) == Position(100, 300, 100, 150, 50, 0)
        writer.append(items[3:])
        final = writer.close()
        assert final == Position(100, 450, 450, 200, 150, 10)
        assert final.start + final.samples + final.gap_samples == final.committed
        assert list(sink.reader().gaps()) == gaps
        assert np.array_equal(sink.rows()[0], np.r_[100:200, 250:300, 400:450])

    def test_what_is_not_triggered_is_one_gap_however_often_it_is_committed(self, sink: SinkUnderTest) -> None:
        stream, quiet = recorded(), Cause.NOT_TRIGGERED
        writer = sink.writer()
        writer.open(stream, 100, resume=False)
        for start in range(100, 200, 20):
            writer.append([gap(stream, start, start + 10, quiet)])
            writer.append([gap(stream, start + 10, start + 20, quiet)])
            writer.commit()
        writer.append([gap(stream, 200, 230, quiet), block(stream, 230, 240)])
        writer.abandon()
        writer = sink.writer()
        assert replace(writer.open(stream, 100, resume=True), durable=100) == Position(100, 200, 100, 0, 100, 0)
        writer.append([gap(stream, 200, 220, quiet)])
        writer.commit()
        writer.append([gap(stream, 220, 240, quiet), block(stream, 240, 260), gap(stream, 260, 280, quiet)])
        writer.commit()
        assert list(merged_gaps(sink.reader().gaps())) == [gap(stream, 100, 240, quiet), gap(stream, 260, 280, quiet)]
        writer.append([gap(stream, 280, 290), gap(stream, 290, 300, quiet)])
        writer.commit()
        writer.append([gap(stream, 300, 400, quiet)])
        assert writer.close() == Position(100, 400, 400, 20, 280, 0)
        gaps = [gap(stream, 100, 240, quiet), gap(stream, 260, 280, quiet), gap(stream, 280, 290)]
        gaps.append(gap(stream, 290, 400, quiet))
        found = list(sink.reader().gaps())
        assert (found if sink.joins_quiet else list(merged_gaps(found))) == gaps
        assert np.array_equal(sink.rows()[0], np.arange(240, 260))

    def test_null_values_are_told_from_gaps_and_both_with_their_ranges(self, sink: SinkUnderTest) -> None:
        stream = recorded()
        n_channels = len(stream.channels)

        def faulty(start: int, stop: int) -> Block:
            """Channel 1 is open from 130 to 260, and beyond its range at 300; 0 at each second one of the last."""
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
        assert [each.span for each in reader.gaps()] == [Span(200, 250), Span(320, 1000)]
        index, _, values = sink.rows()
        assert index[np.isnan(values[1])].tolist() == [*range(130, 200), *range(250, 260), 300]
        if not hasattr(reader, "nulls"):
            return
        found = merged(list(reader.nulls()))
        assert found[1:] == [
            NullRange(1, Span(130, 200), 70, SensorStatus.OPEN),
            NullRange(1, Span(250, 260), 10, SensorStatus.OPEN),
            NullRange(1, Span(300, 301), 1, SensorStatus.HIGH),
        ]
        # What flickers is told of once.
        assert found[0] == NullRange(0, Span(1000, 1399), 200, SensorStatus.LOW)

    def test_marks_that_are_told_again_to_a_successor_are_there_once(self, sink: SinkUnderTest) -> None:
        stream, t_utc_ns = recorded(), ANCHOR.t_utc_ns
        marks = [Mark(n, f"m\u00e4rk {n}", 10 * n, n, t_utc_ns, "text", "ada@lab", t_utc_ns) for n in (1, 2, 3)]
        writer = sink.writer()
        if not isinstance(writer, NotingWriter):
            pytest.skip("its format has no place for marks")
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 200))
        writer.note(marks[:2], None)
        writer.commit()
        writer.abandon()
        successor, _ = sink.resumed(stream)
        assert isinstance(successor, NotingWriter)
        successor.note(marks, {"sample": "A7"})
        successor.append(blocks(stream, 200, 300))
        successor.note(marks[2:], None)
        assert successor.close().samples == 300
        reader = sink.reader()
        assert not isinstance(reader, MarkedReader) or list(reader.marks()) == marks
        assert np.array_equal(sink.rows()[0], np.arange(300))

    def test_only_sync_and_close_make_durable(self, sink: SinkUnderTest) -> None:
        stream = recorded()
        writer = sink.writer()
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 200))
        assert writer.commit().durable == (200 if sink.durable_at_once else 0)
        assert writer.sync().durable == 200
        writer.append(blocks(stream, 200, 300))
        assert (writer.commit().durable, writer.close().durable) == (300 if sink.durable_at_once else 200, 300)

    def test_a_run_without_samples_is_a_whole_output(self, sink: SinkUnderTest) -> None:
        writer = sink.writer()
        writer.open(recorded(), 0, resume=False)
        assert writer.close() == Position()
        assert len(sink.rows()[0]) == 0
        assert sink.reader().position() == Position()

    def test_who_resumes_goes_on_exactly_behind_the_last_commit(self, sink: SinkUnderTest) -> None:
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

    def test_who_resumes_where_nothing_was_begun_begins(self, sink: SinkUnderTest) -> None:
        stream = recorded()
        writer = sink.writer()
        assert writer.open(stream, 30, resume=True) == Position(30, 30, 30)
        writer.append([block(stream, 30, 40)])
        writer.close()
        assert np.array_equal(sink.rows()[0], np.arange(30, 40))

    @pytest.mark.parametrize("on_exists", list(OnExists))
    @pytest.mark.parametrize("run_id", ["run-1", "run-2"])
    def test_two_writers_never_meet_on_one_output(self, sink: SinkUnderTest, run_id: str, on_exists: OnExists) -> None:
        if sink.path is None:
            # Of a database the output is the run.
            run_id = "run-1"
        stream = recorded()
        writer = sink.writer()
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 100))
        writer.commit()
        with pytest.raises(OutputLocked) as refused:
            sink.writer(on_exists).open(recorded(run_id=run_id), 0, resume=run_id == "run-1")
        if sink.path is not None or sink.target:
            assert refused.value.path == (str(sink.path) if sink.path is not None else sink.target)
        assert refused.value.remedy, "an error says what to do"
        writer.append(blocks(stream, 100, 200))
        assert writer.close().samples == 200
        assert len(sink.rows()[0]) == 200

    @pytest.mark.parametrize("theirs", ["another run's output", "notes of the user"])
    def test_a_successor_never_touches_what_is_not_of_its_run(self, file_sink: SinkUnderTest, theirs: str) -> None:
        sink = file_sink
        if theirs == "another run's output":
            sink.write_a_run(recorded(), blocks(recorded(), 0, 100))
        else:
            sink.file.write_bytes(b"by hand")
        before = {path.name: path.read_bytes() for path in sink.file.parent.iterdir()}
        with pytest.raises(OutputExists):
            sink.writer().open(recorded(run_id="run-2"), 0, resume=True)
        assert {path.name: path.read_bytes() for path in sink.file.parent.iterdir()} == before

    def test_an_output_that_is_there_is_never_touched_unless_told(self, file_sink: SinkUnderTest) -> None:
        sink, stream = file_sink, recorded()
        sink.write_a_run(stream, blocks(stream, 0, 100))
        before = sink.file.read_bytes()
        with pytest.raises(OutputExists) as refused:
            sink.write_a_run(recorded(run_id="run-2"), blocks(stream, 0, 100))
        assert "rename" in refused.value.remedy
        assert sink.file.read_bytes() == before
        sink.write_a_run(recorded(run_id="run-2"), blocks(stream, 0, 200), OnExists.RENAME)
        aside = sink.file.with_name(f"{sink.file.stem}.1{sink.file.suffix}")
        assert aside.read_bytes() == before
        assert len(sink.at(aside).rows("run-1")[0]) == 100
        assert len(sink.rows("run-2")[0]) == 200
        sink.write_a_run(recorded(run_id="run-3"), blocks(stream, 0, 50), OnExists.OVERWRITE)
        assert len(sink.rows("run-3")[0]) == 50

    def test_a_second_run_is_appended_where_a_file_can_hold_two(self, file_sink: SinkUnderTest) -> None:
        sink, first, second = file_sink, recorded(), recorded(run_id="run-2")
        sink.write_a_run(first, blocks(first, 0, 100))
        before = sink.file.read_bytes()
        if sink.appends is Appends.NEVER:
            with pytest.raises(SinkError, match="run"):
                sink.write_a_run(second, blocks(second, 0, 100), OnExists.APPEND)
            assert sink.file.read_bytes() == before
            return
        sink.write_a_run(second, blocks(second, 0, 300), OnExists.APPEND)
        assert len(sink.rows("run-2")[0]) == 300
        if sink.appends is Appends.BESIDE:
            assert len(sink.rows("run-1")[0]) == 100
        else:
            assert sink.file.read_bytes().startswith(before)

    def test_awkward_channel_names_come_back_as_they_were(self, sink: SinkUnderTest) -> None:
        stream = recorded(sink.channel_names)
        writer = sink.writer()
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 30))
        writer.close()
        assert np.array_equal(sink.rows()[2], expected(stream, 0, 30))

    def test_what_the_sensor_could_not_tell_is_null(self, sink: SinkUnderTest) -> None:
        stream = recorded()
        status = np.zeros((2, 10), np.int8)
        status[0, 3:5] = 1
        status[1, 9] = 3
        writer = sink.writer()
        writer.open(stream, 0, resume=False)
        writer.append([block(stream, 0, 10, 0, status), block(stream, 10, 20, 1)])
        writer.close()
        assert np.array_equal(np.isnan(sink.rows()[2]), np.hstack([status != 0, np.zeros((2, 10), bool)]))

    def test_a_board_that_converts_by_itself_may_deliver_any_float(self, sink: SinkUnderTest) -> None:
        if "float64" not in sink.dtypes:
            pytest.skip("it takes no float64")
        stream = recorded(("a",), "raw", "float64")
        values = np.array([[0.1, -0.0, 1e-300, 1e300, np.nan, 123456789.123456789, np.inf, -np.inf, 5e-324, 2.5]])
        writer = sink.writer()
        writer.open(stream, 0, resume=False)
        writer.append([Block(0, 0, values, ANCHOR)])
        writer.close()
        found = sink.rows()[2]
        wanted = values if sink.keeps_infinities else np.where(np.isinf(values), np.nan, values)
        assert np.array_equal(found, wanted, equal_nan=True)
        assert np.signbit(found[0, 1]) == sink.keeps_negative_zero

    def test_a_writer_that_is_not_open_says_so(self, sink: SinkUnderTest) -> None:
        stream = recorded()
        writer = sink.writer()
        with pytest.raises(SinkError, match="open"):
            _append_and_commit(writer, blocks(stream, 0, 10))
        writer = sink.writer()
        writer.open(stream, 0, resume=False)
        writer.close()
        with pytest.raises(SinkError, match="open"):
            _append_and_commit(writer, blocks(stream, 0, 10))
        writer.abandon()


def _append_and_commit(writer: SinkWriter, items: list[Block]) -> int:
    writer.append(items)
    return writer.commit().committed
