"""What every board promises to the acquirer, for the author of one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from dtopipe.boards.contract import Board, Ended, Overrun, Taken
from dtopipe.host.killing import KILL
from dtopipe.model.board_types import BoardType
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.references import referred
from dtopipe.sinks.registry import EXAMPLE, RAW
from dtopipe.testing.board_under_test import (
    another_process,
    checked_event,
    codes_of,
    filled,
    next_event,
    opened,
    read_blocks,
    task_of,
)
from dtopipe.testing.commands import run_command
from dtopipe.testing.option_help import told_options
from dtopipe.topology.options import board_models

# How late a call may return on a machine that does something else.
_SLACK_S = 2.0
# For so long a board's rate is looked at; samples may be so late, and the rate be off by a tenth.
_RATE_OVER_S, _LATE_S, _NEARLY = 3.0, 1.0, 0.9


class BoardConformance:
    """Everything that `dtopipe.boards.contract` promises. An author derives a class whose name begins with `Test`.

    `board_type`: what is known of the type; or, without one, `board`: the class. `type_name`: its name among the entry
    points, for the test that records a real run; it is skipped without it. `options`: what the topology's `board:` says
    besides the type. `task`: what is to be acquired, at a rate at which a few blocks take less than a second; None for
    a board that brings its own. `polled_task`: the same for a board that can be polled as well. `n_blocks`: so many are
    there at least. `is_exclusive`: only one process may have it open, and so these tests are not for many processes of
    pytest at once. `repeats`: a resumable board has the same codes again when it starts again at the same index.
    """

    board_type: ClassVar[BoardType | None] = None
    board: ClassVar[Callable[..., Board] | None] = None
    type_name: ClassVar[str | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    task: ClassVar[TaskPlan | None] = task_of("a", "b")
    polled_task: ClassVar[TaskPlan | None] = None
    n_blocks: ClassVar[int] = 8
    is_exclusive: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    def board_class(self) -> Callable[..., Board]:
        """The class that is tried."""
        found = type(self).board or (referred(self.board_type.board) if self.board_type else None)
        assert found is not None, f"{type(self).__name__} says neither board_type nor board"
        made: Callable[..., Board] = found
        return made

    def options_class(self) -> Any:
        """The model of its options; None if there is none."""
        if self.board_type is not None and self.board_type.options is not None:
            return referred(self.board_type.options)
        return getattr(self.board_class(), "Options", None)

    @pytest.fixture
    def board_options(self) -> Mapping[str, Any]:
        """The options of one test. An author overrides it to start what the board listens to."""
        return self.options

    @pytest.fixture
    def make(self, board_options: Mapping[str, Any]) -> Callable[..., Board]:
        """`make()`: the board as the acquirer makes it, every default filled in."""
        made, options = self.board_class(), filled(self.options_class(), board_options)
        return lambda task=self.task: made(options, task)

    def test_nothing_happens_before_it_is_opened(self, make: Callable[..., Board]) -> None:
        first, second = make(), make()
        for board in (first, second, second):
            board.close()
        with opened(make()):
            pass

    def test_what_it_says_of_itself_fits_its_task(
        self, make: Callable[..., Board], board_options: Mapping[str, Any]
    ) -> None:
        with opened(make()) as (_, said):
            assert said.device, "device: a name for tables"
            assert said.channels, "a board has channels"
            assert said.dtype in ("int16", "int32", "float64")
            if self.board_type is not None and not self.board_type.brings_task:
                options = filled(self.options_class(), board_options)
                assert said.dtype == self.board_type.dtype(options), "its BoardType says another dtype to `check`"
            assert said.rate_hz > 0
            assert said.samples_per_block >= 1
            assert said.polled is (self.task is not None and self.task.polled)
            json.dumps([dict(said.metadata), *(dict(channel.details) for channel in said.channels)])
            if self.task is not None:
                assert [channel.name for channel in said.channels] == [channel.name for channel in self.task.channels]
            assert len({channel.name for channel in said.channels}) == len(said.channels)

    def test_samples_come_in_order_without_overlap_and_every_hole_is_announced(
        self, make: Callable[..., Board]
    ) -> None:
        with opened(make()) as (board, said):
            board.start(0)
            read_blocks(board, said, 0, self.n_blocks)

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
            at = read_blocks(board, said, 0, 2)
            board.stop()
            while not isinstance(event := next_event(board), Ended):
                at = checked_event(event, said, at)
                if isinstance(event, Taken):
                    board.give_back()
            assert event.end_sample_index >= at, "the end is behind every sample; what is between is lost"

    def test_a_successor_starts_at_the_index_that_it_is_told(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            board.start(0)
            at = read_blocks(board, said, 0, 2)
        with opened(make()) as (board, said):
            # Of a clocked board some samples are gone meanwhile.
            at += 0 if said.resumable else 7 * said.samples_per_block
            board.start(at)
            read_blocks(board, said, at, 2)

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
            at = read_blocks(board, said, 0, self.n_blocks, overruns)
        if not said.clocked:
            in_time: list[Overrun] = []
            if said.resumable and self.repeats:
                with opened(make()) as (board, said):
                    board.start(0)
                    read_blocks(board, said, 0, self.n_blocks, in_time)
            assert overruns == in_time, "a board that waits for its reader loses nothing by it"
            return
        passed = (time.monotonic() - began) * said.rate_hz
        assert at <= passed + said.samples_per_block, "the index is ahead of the clock"
        assert at >= pause_s * said.rate_hz - 2 * said.samples_per_block, "samples were passed over in silence"

    def test_a_clocked_board_keeps_its_rate(self, make: Callable[..., Board]) -> None:
        with opened(make()) as (board, said):
            if not said.clocked:
                pytest.skip("it has no clock")
            began_s, at = time.monotonic(), 0
            board.start(0)
            started_s = called_s = time.monotonic()
            while called_s < started_s + max(_RATE_OVER_S, 10 * said.samples_per_block / said.rate_hz):
                called_s = time.monotonic()
                event = board.read(0.01)
                if event is None:
                    # Whatever was complete when it was called has been given.
                    due = _NEARLY * (called_s - started_s - _LATE_S) * said.rate_hz - 2 * said.samples_per_block
                    assert at >= due, "it is slower than it says"
                    continue
                at = checked_event(event, said, at)
                passed_s = time.monotonic() - began_s
                assert at <= passed_s * said.rate_hz / _NEARLY + said.samples_per_block, "it is faster than it says"
                if isinstance(event, Taken):
                    board.give_back()

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
        with another_process(self.board_class(), filled(self.options_class(), board_options), self.task) as holder:
            third = make()
            with pytest.raises(BoardError):
                third.open()
            third.close()
            holder.send_signal(KILL)
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
        task = self.polled_task or (self.task if self.task is not None and self.task.polled else None)
        if task is None:
            pytest.skip("the suite has no polled_task")
        with opened(make(task)) as (board, said):
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
        told_options(self.options_class())
        assert (self.board_class().__doc__ or "").strip(), "its first line stands in the list of types"

    def test_a_real_run_is_recorded_and_verified(self, board_options: Mapping[str, Any], tmp_path: Path) -> None:
        name = self.type_name or (self.board_type.name if self.board_type else None)
        if name is None:
            pytest.skip("the suite has neither board_type nor type_name")
        if name not in board_models():
            pytest.skip(f"no installed package has an entry point of the name {name!r}: pip install -e .")
        sinks = {"archive": {"type": RAW, "path": "archive.dt-raw"}, "table": {"type": EXAMPLE, "path": "table"}}
        topology: dict[str, Any] = {"name": "tried", "board": {"type": name, **board_options}, "sinks": sinks}
        if self.task is not None:
            channels = [{"name": channel.name, "kind": channel.kind} for channel in self.task.channels]
            lengths = {"rate_hz": self.task.rate_hz, "samples_per_block": self.task.samples_per_block}
            topology["task"] = {**lengths, "channels": channels}
        (tmp_path / "tried.yaml").write_text(yaml.safe_dump(topology), encoding="utf-8")
        # What a busy machine lets a board lose is named, and no fault of the board.
        done = run_command(tmp_path, "up", "tried.yaml", "--duration", "1s", "--json", codes=(0, 3))
        assert json.loads(done.stdout)["acquired"]["samples"] > 0
        run_command(tmp_path, "verify", "tried/latest", codes=(done.returncode,))
