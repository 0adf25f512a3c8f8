"""What every sink promises for the readings of a polled stream, or that it refuses them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dtopipe.model.errors import SinkError
from dtopipe.model.position import Position
from dtopipe.model.stream import Stream
from dtopipe.testing.recordings import ANCHOR, gap, polled, reading_value, readings
from dtopipe.testing.sink_suite import SinkSuite
from dtopipe.testing.sink_under_test import SinkUnderTest

# Names that columns of readings have themselves.
_NAMES_OF_COLUMNS = ("device", "t_utc", "a", "a_unit", "A", "T_UTC_NS", "run")


class SinkReadings(SinkSuite):
    """Each reading has times of its own, and a column for every channel's value."""

    @pytest.mark.parametrize("names", ["plain", "awkward"])
    def test_every_reading_is_there_to_the_bit_whatever_the_channels_are_called(
        self, file_sink: SinkUnderTest, names: str
    ) -> None:
        _need_readings(file_sink)
        stream = polled(("flux", "tc1") if names == "plain" else (*_NAMES_OF_COLUMNS, *file_sink.channel_names))
        writer = file_sink.writer()
        assert writer.open(stream, 0, resume=False) == Position()
        for start, stop in ((0, 1), (1, 8), (8, 60)):
            writer.append([readings(stream, start, stop)])
            writer.commit()
        final = writer.close()
        assert final == Position(0, 60, 60, 60, 0, 0)
        assert file_sink.reader().position() == final
        assert_readings(file_sink, stream, range(60))

    def test_gaps_are_committed_with_the_readings(self, file_sink: SinkUnderTest) -> None:
        _need_readings(file_sink)
        stream = polled()
        writer = file_sink.writer()
        writer.open(stream, 100, resume=False)
        gaps = [gap(stream, 120, 125), gap(stream, 130, 131)]
        writer.append([readings(stream, 100, 120), gaps[0], readings(stream, 125, 130), gaps[1]])
        assert writer.commit() == Position(100, 131, 100, 25, 6, 0)
        writer.append([readings(stream, 131, 140)])
        final = writer.close()
        assert final.start + final.samples + final.gap_samples == final.committed == 140
        assert list(file_sink.reader().gaps()) == gaps
        assert_readings(file_sink, stream, [*range(100, 120), *range(125, 130), *range(131, 140)])

    def test_who_resumes_readings_goes_on_exactly_behind_the_last_commit(self, file_sink: SinkUnderTest) -> None:
        _need_readings(file_sink)
        stream = polled()
        writer = file_sink.writer()
        writer.open(stream, 0, resume=False)
        writer.append([readings(stream, 0, 20)])
        writer.commit()
        writer.append([readings(stream, 20, 70)])
        writer.abandon()
        successor = file_sink.writer()
        position = successor.open(stream, 0, resume=True)
        assert (position.committed, position.samples) == (20, 20)
        successor.append([readings(stream, 20, 100)])
        assert successor.close().samples == 100
        assert_readings(file_sink, stream, range(100))

    def test_an_output_without_a_reading_is_a_whole_output(self, file_sink: SinkUnderTest) -> None:
        _need_readings(file_sink)
        writer = file_sink.writer()
        writer.open(polled(), 0, resume=False)
        assert writer.close() == Position()
        assert list(file_sink.reader().batches()) == []

    def test_readings_may_be_read_while_they_are_written(self, file_sink: SinkUnderTest) -> None:
        _need_readings(file_sink)
        stream = polled()
        writer = file_sink.writer()
        writer.open(stream, 0, resume=False)
        for start, stop in ((0, 20), (20, 30)):
            writer.append([readings(stream, start, stop)])
            writer.commit()
            assert_readings(file_sink, stream, range(stop))
        writer.abandon()

    def test_who_takes_no_readings_refuses_them_with_a_way_out(self, file_sink: SinkUnderTest) -> None:
        if file_sink.takes_readings:
            pytest.skip("it takes readings")
        before = sorted(file_sink.file.parent.iterdir())
        with pytest.raises(SinkError) as refused:
            file_sink.writer().open(polled(), 0, resume=False)
        assert refused.value.remedy
        assert sorted(file_sink.file.parent.iterdir()) == before, "nothing is there of what was refused"


def assert_readings(sink: SinkUnderTest, stream: Stream, wanted: Sequence[int]) -> None:
    """These readings are in the output, each once, with their own times."""
    index, t_mono_ns, values = sink.rows()
    at = np.array(wanted)
    assert np.array_equal(index, at)
    assert np.array_equal(t_mono_ns, ANCHOR.t_mono_ns + 1_000_003 * at)
    of = [[reading_value(channel, number) for number in wanted] for channel in range(len(stream.channels))]
    assert np.array_equal(values, np.array(of, np.float64), equal_nan=True)


def _need_readings(sink: SinkUnderTest) -> None:
    if not sink.takes_readings:
        pytest.skip("it takes no readings")
