"""What every board promises to the acquirer, for the author of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from dtopipe.boards.contract import Board, Ended, Opened, Overrun, Taken
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.testing.option_help import assert_told
from dtopipe.wire.describe import describe_task

# How late a call may return on a machine that does something else.
_SLACK_S = 2.0


def task_of(
    *names: str, rate_hz: float = 1000.0, samples_per_block: int = 20, polled: bool = False, driver_buffers: int = 4
) -> TaskPlan:
    """A task of these channels, as a topology would ask for it."""
    channels = tuple(ChannelPlan(name, physical_channel=number) for number, name in enumerate(names))
    return TaskPlan("tried", rate_hz, 1 if polled else samples_per_block, channels, driver_buffers, polled)


class BoardConformance:
    """Everything that `dtopipe.boards.contract` promises. An author derives a class whose name begins with `Test`.

    `board`: the class. `options`: what the topology's `board:` says besides the type. `task`: what is to be acquired,
    at a rate at which a few blocks take less than a second; None for a board that brings its own. `polled_task`: the
    same for a board that can be polled. `n_blocks`: so many are there at least. `is_exclusive`: only one process may
    have it open. `repeats`: a resumable board has the same codes again when it starts again at the same index.
    """

    board: ClassVar[Callable[..., Board]]
    options: ClassVar[Mapping[str, Any]] = {}
    task: ClassVar[TaskPlan | None] = task_of("a", "b")
    polled_task: ClassVar[TaskPlan | None] = None
    n_blocks: ClassVar[int] = 8
    is_exclusive: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    @pytest.fixture
    def board_options(self) -> Mapping[str, Any]:
        """The options of one test. An author overrides it to start what the board listens to."""
        return self.options

    @pytest.fixture
    def make(self, board_options: Mapping[str, Any]) -> Callable[..., Board]:
        """`make()`: the board as the acquirer makes it, every default filled in."""
        made = type(self).board
        options_class = getattr(made, "Options", None)
        options = board_options if options_class is None else options_class(**board_options).model_dump(mode="json")
        return lambda task=self.task: made(options, task)

    def test_nothing_happens_before_it_is_opened(self, make: Callable[..., Board]) -> None:
        first, second = make(), make()
        for board in (first, second, second):
            board.close()
        with opened(make()):
            pass

    def test_what_it_says_of_itself_fits_its_task(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (_, said):
            assert said.device, "device: a name for tables"
            assert said.channels, "a board has channels"
            assert said.dtype in ("int16", "int32", "float64")
            assert said.rate_hz > 0
            assert said.samples_per_block >= 1
            assert said.polled is False
            json.dumps([dict(said.metadata), *(dict(channel.details) for channel in said.channels)])
            if self.task is not None:
                assert [channel.name for channel in said.channels] == [channel.name for channel in self.task.channels]
            assert len({channel.name for channel in said.channels}) == len(said.channels)

    def test_samples_come_in_order_without_overlap_and_every_hole_is_announced(
        self, make: Callable[..., Board]
    ) -> None:
        with opened(make()) as (board, said):
            board.start(0)
            assert indices_of(board, said, self.n_blocks)[0] == 0

    def test_a_buffer_stays_as_it_is_until_it_is_given_back(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            board.start(0)
            for _ in range(3):
                event = next_event(board)
                if isinstance(event, Taken):
                    before = event.codes.copy()
                    time.sleep(2 * said.samples_per_block / said.rate_hz if said.clocked else 0)
                    assert np.array_equal(event.codes, before, equal_nan=said.dtype == "float64")
                    board.give_back()

    def test_a_read_returns_in_time_whether_there_is_something_or_not(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, _):
            board.start(0)
            for timeout_s in (0, 0.05, 0, 0.05):
                began = time.monotonic()
                event = board.read(timeout_s)
                assert time.monotonic() - began < timeout_s + _SLACK_S
                if isinstance(event, Taken):
                    board.give_back()

    def test_a_stop_yields_what_was_complete_and_then_the_end(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            board.start(0)
            at = indices_of(board, said, 2)[1]
            board.stop()
            while not isinstance(event := next_event(board), Ended):
                at = checked_event(event, said, at)
                if isinstance(event, Taken):
                    board.give_back()
            assert event.end_sample_index >= at, "the end is behind every sample; what is between is lost"

    def test_a_successor_starts_at_the_index_that_it_is_told(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            board.start(0)
            _, at = indices_of(board, said, 2)
        with opened(make()) as (board, said):
            # Of a clocked board some samples are gone meanwhile.
            at += 0 if said.resumable else 7 * said.samples_per_block
            board.start(at)
            assert indices_of(board, said, 2)[0] == at

    def test_a_resumable_board_has_the_same_codes_again(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            if not (said.resumable and self.repeats):
                pytest.skip("what is past does not come again")
            board.start(0)
            index, codes = codes_of(board, self.n_blocks)
        for at in (1, int(index[-1]) // 2):
            with opened(make()) as (board, said):
                board.start(at)
                index_again, codes_again = codes_of(board, 2)
                assert index_again[0] >= at
                _, here, there = np.intersect1d(index, index_again, return_indices=True)
                assert len(here)
                assert np.array_equal(codes[:, here], codes_again[:, there])

    def test_what_nobody_read_in_time_is_kept_or_told_of(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            buffers = self.task.driver_buffers if self.task else 4
            pause_s = 2 * buffers * said.samples_per_block / said.rate_hz
            if pause_s > 5:
                pytest.skip("its blocks are too long for a test: give the suite a task of shorter ones")
            began = time.monotonic()
            board.start(0)
            time.sleep(pause_s if said.clocked else 0.2)
            overruns: list[Overrun] = []
            _, at = indices_of(board, said, self.n_blocks, overruns)
        if not said.clocked:
            in_time: list[Overrun] = []
            if said.resumable and self.repeats:
                with opened(make()) as (board, said):
                    board.start(0)
                    indices_of(board, said, self.n_blocks, in_time)
            assert overruns == in_time, "a board that waits for its reader loses nothing by it"
            return
        passed = (time.monotonic() - began) * said.rate_hz
        assert at <= passed + said.samples_per_block, "the index is ahead of the clock"
        assert at >= pause_s * said.rate_hz - 2 * said.samples_per_block, "samples were passed over in silence"

    def test_a_clocked_board_keeps_its_rate(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            if not said.clocked:
                pytest.skip("it has no clock")
            board.start(0)
            _, first = indices_of(board, said, 1)
            began, at = time.monotonic(), first
            while (passed_s := time.monotonic() - began) < max(0.5, 5 * said.samples_per_block / said.rate_hz):
                event = board.read(0.01)
                if event is not None:
                    at = checked_event(event, said, at)
                if isinstance(event, Taken):
                    board.give_back()
            n_blocks_off = abs(at - first - passed_s * said.rate_hz) / said.samples_per_block
            # A block more or less by where in one the looks fell, and a tenth of the rate.
            assert n_blocks_off <= 2 + 0.1 * passed_s * said.rate_hz / said.samples_per_block

    def test_only_one_process_has_it(self, make: Callable[..., Board], board_options: Mapping[str, Any]) -> None:
        if not self.is_exclusive:
            pytest.skip("several may have it")
        with opened(make()):
            second = make()
            with pytest.raises(BoardError):
                second.open()
            second.close()
        with opened(make()):
            pass
        with _another_process(type(self).board, board_options, self.task) as holder:
            third = make()
            with pytest.raises(BoardError):
                third.open()
            third.close()
            holder.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
            holder.wait()
        deadline = time.monotonic() + 10
        while True:
            try:
                with opened(make()):
                    return
            except BoardError:
                # A driver may need a moment to see that its user is dead.
                assert time.monotonic() < deadline, "it is held, though who held it is dead"
                time.sleep(0.05)

    def test_a_polled_board_says_when_it_was_asked_and_when_it_answered(self, make: Callable[..., Board]) -> None:
        if self.polled_task is None:
            pytest.skip("the suite has no polled_task")
        with opened(make(self.polled_task)) as (board, said):
            assert said.polled
            board.start(0)
            at = n_readings = 0
            last_ns = 0
            while n_readings < 5:
                event = next_event(board)
                at = checked_event(event, said, at)
                if isinstance(event, Taken):
                    n_readings += 1
                    assert event.codes.shape[1] == 1, "a reading is one sample"
                    assert event.poll is not None
                    assert last_ns < event.poll.t_requested_ns <= event.poll.t_received_ns
                    last_ns = event.poll.t_requested_ns
                    board.give_back()

    def test_every_option_has_its_help(self) -> None:
        assert_told(type(self).board)


@contextmanager
def opened(board: Board) -> Iterator[tuple[Board, Opened]]:
    """The board and what it says of itself; closed in the end, twice."""
    try:
        yield board, board.open()
    finally:
        board.close()
        board.close()


def next_event(board: Board, within_s: float = 10.0) -> Taken | Overrun | Ended:
    """What the board says next, waiting for it."""
    deadline = time.monotonic() + within_s
    while (event := board.read(0.05)) is None:
        assert time.monotonic() < deadline, f"nothing came within {within_s:g} s"
    return event


def checked_event(event: Taken | Overrun | Ended, said: Opened, at: int | None) -> int:
    """Where the next event has to begin; `at`: where this one has to, None if anywhere."""
    if isinstance(event, Ended):
        assert at is None or event.end_sample_index >= at
        return event.end_sample_index
    if isinstance(event, Overrun):
        assert len(event.span) > 0, "an overrun is of one sample at least"
        assert at in (None, event.span.start)
        return event.span.stop
    assert at is None or event.first_sample_index >= at, "samples that came before"
    assert at is None or event.first_sample_index <= at, "a hole that no Overrun announced"
    n_channels, n = event.codes.shape
    assert n_channels == len(said.channels)
    assert 1 <= n <= said.samples_per_block
    assert event.codes.dtype == np.dtype(said.dtype)
    if event.sensor_status is not None:
        assert event.sensor_status.shape == event.codes.shape
        assert event.sensor_status.dtype == np.int8
    return event.first_sample_index + int(n)


def indices_of(board: Board, said: Opened, n_blocks: int, overruns: list[Overrun] | None = None) -> tuple[int, int]:
    """(first index, exclusive end) of the next blocks, each event checked and given back."""
    first: int | None = None
    at: int | None = None
    while n_blocks:
        event = next_event(board)
        assert not isinstance(event, Ended), "it ended before the suite's n_blocks"
        at = checked_event(event, said, at)
        begin = event.span.start if isinstance(event, Overrun) else event.first_sample_index
        first = begin if first is None else first
        if isinstance(event, Taken):
            n_blocks -= 1
            board.give_back()
        elif overruns is not None:
            overruns.append(event)
    assert first is not None
    assert at is not None
    return first, at


def codes_of(board: Board, n_blocks: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """(sample_index (n,), codes (n_channels, n)) of the next blocks, side by side."""
    indices: list[NDArray[np.int64]] = []
    parts: list[NDArray[Any]] = []
    while len(parts) < n_blocks and not isinstance(event := next_event(board), Ended):
        if isinstance(event, Taken):
            parts.append(event.codes.copy())
            indices.append(np.arange(event.codes.shape[1]) + event.first_sample_index)
            board.give_back()
    return np.concatenate(indices), np.concatenate(parts, axis=1)


@contextmanager
def _another_process(board: Any, options: Mapping[str, Any], task: TaskPlan | None) -> Iterator[subprocess.Popen[str]]:
    """A process that has the board open."""
    told = {
        "board": f"{board.__module__}:{board.__qualname__}",
        "options": dict(options),
        "task": None if task is None else describe_task(task),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "dtopipe.testing.board_holder"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == "open", "another process could not open it"
            yield process
        finally:
            process.kill()
