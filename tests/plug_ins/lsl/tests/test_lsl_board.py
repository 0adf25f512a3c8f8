"""Board `lsl` keeps the contract, and what a stream says comes through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import pylsl
import pytest
from dtopipe_lsl import LSL_BOARD
from dtopipe_lsl.board import LslBoard
from lsl_sources import sent, values_of
from numpy.typing import NDArray

from dtopipe import mono_ns
from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan
from dtopipe.testing import BoardConformance, task_of
from dtopipe.testing.board_under_test import filled, next_event, opened

TASK = task_of("volts", "other", "heat", rate_hz=500.0, samples_per_block=25)


class TestLsl(BoardConformance):
    board_type = LSL_BOARD
    task = TASK
    # A stream is for everybody.
    is_exclusive = False

    @pytest.fixture
    def board_options(self) -> Iterator[Mapping[str, Any]]:
        with sent() as name:
            yield {"stream": name}


def board(name: str, task: TaskPlan = TASK, **options: Any) -> LslBoard:
    return LslBoard(filled(LslBoard.Options, {"stream": name, **options}), task)


@pytest.mark.parametrize(
    ("channel_format", "dtype"),
    [
        (pylsl.cf_float32, "float64"),
        (pylsl.cf_double64, "float64"),
        (pylsl.cf_int16, "int16"),
        (pylsl.cf_int32, "int32"),
    ],
)
def test_every_sample_comes_as_it_was_sent_with_its_unit(channel_format: int, dtype: str) -> None:
    with sent(channel_format=channel_format) as name, opened(board(name)) as (made, said):
        assert (said.dtype, said.rate_hz) == (dtype, 500.0)
        assert [channel.unit for channel in said.channels] == ["V", "mV", "degC"]
        made.start(0)
        parts: list[NDArray[Any]] = []
        while sum(part.shape[1] for part in parts) < 200:
            event = next_event(made)
            assert isinstance(event, Taken)
            parts.append(event.codes)
        codes = np.concatenate(parts, axis=1)
        first = int(codes[0, 0])
        assert np.array_equal(codes, values_of(np.arange(first, first + codes.shape[1])).T.astype(dtype))


def test_channels_are_picked_by_their_numbers() -> None:
    task = TaskPlan(**{**{name: getattr(TASK, name) for name in TaskPlan.__slots__}, "channels": TASK.channels[2:]})
    with sent() as name, opened(board(name, task)) as (made, said):
        assert [(channel.name, channel.unit) for channel in said.channels] == [("heat", "degC")]
        made.start(0)
        event = next_event(made)
        assert isinstance(event, Taken)
        assert np.array_equal(np.diff(event.codes[0]), np.full(event.codes.shape[1] - 1, 1 / 8))


def test_what_the_source_lost_is_an_overrun_of_as_many_samples() -> None:
    with sent(holes=[400], n_lost=120) as name, opened(board(name)) as (made, _):
        made.start(0)
        at = 0
        while not isinstance(event := next_event(made), Overrun):
            assert isinstance(event, Taken)
            at += event.codes.shape[1]
            last = event.codes[0, -1]
        assert last == 399
        assert (event.span.start, len(event.span)) == (at, 120)
        after = next_event(made)
        assert isinstance(after, Taken)
        assert (after.first_sample_index, after.codes[0, 0]) == (event.span.stop, 400)


def test_the_first_samples_time_is_that_of_its_source() -> None:
    with sent() as name, opened(board(name)) as (made, _):
        before = mono_ns()
        t_first_ns = made.start(0)
        assert t_first_ns is not None
        # Not when it came through, but when it was taken: a moment earlier, and no later than now.
        assert before - 1_000_000_000 < t_first_ns < mono_ns()


def test_a_stream_that_goes_is_a_board_that_is_away() -> None:
    with ExitStack() as stream, opened(board(stream.enter_context(sent()))) as (made, _):
        made.start(0)
        assert isinstance(next_event(made), Taken)
        stream.close()
        with pytest.raises(BoardError) as told:
            while not isinstance(next_event(made), Ended):
                pass
        assert told.value.remedy
        assert not told.value.is_final
    with pytest.raises(BoardError, match="there is no stream"):
        board("nobody", look_for_s=0.2).open()


def test_what_can_never_be_is_said_for_good() -> None:
    with sent() as name:
        for task in (task_of("a", "b", "c", "d", rate_hz=500.0), task_of("a", rate_hz=1000.0)):
            with pytest.raises(BoardError) as told:
                board(name, task).open()
            assert told.value.is_final
            assert told.value.remedy
