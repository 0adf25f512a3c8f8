"""Boards that are tried: opened, asked, and what they say checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.boards.contract import Board, Ended, Opened, Overrun, Taken
from dtopipe.model.parts import BoardPart
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.wire.describe import describe_task


def task_of(
    *names: str, rate_hz: float = 1000.0, samples_per_block: int = 20, polled: bool = False, driver_buffers: int = 4
) -> TaskPlan:
    """A task of these channels, as a topology would ask for it."""
    channels = tuple(ChannelPlan(name, physical_channel=number) for number, name in enumerate(names))
    return TaskPlan("tried", rate_hz, 1 if polled else samples_per_block, channels, driver_buffers, polled)


def filled(model: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options as the acquirer is given them: every default of their model filled in, if there is one."""
    if model is None:
        return options
    # What every board may be told is for its supervisor.
    everybodys = {"type": ""} if issubclass(model, BoardPart) else {}
    found = model(**everybodys, **options).model_dump(mode="json")
    return {name: value for name, value in found.items() if not everybodys or name not in BoardPart.model_fields}


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


def checked_event(event: Taken | Overrun | Ended, said: Opened, at: int) -> int:
    """Where the next event has to begin; this one has to begin at `at`."""
    if isinstance(event, Ended):
        assert event.end_sample_index >= at, "the end is before samples that came"
        return event.end_sample_index
    if isinstance(event, Overrun):
        assert len(event.span) > 0, "an overrun is of one sample at least"
        assert event.span.start == at, "an overrun begins where the samples before it end"
        return event.span.stop
    assert event.first_sample_index >= at, "samples that came before"
    assert event.first_sample_index <= at, "a hole that no Overrun announced"
    n_channels, n = event.codes.shape
    assert n_channels == len(said.channels)
    assert 1 <= n <= said.samples_per_block
    assert event.codes.dtype == np.dtype(said.dtype)
    if event.sensor_status is not None:
        assert event.sensor_status.shape == event.codes.shape
        assert event.sensor_status.dtype == np.int8
    return event.first_sample_index + int(n)


def read_blocks(board: Board, said: Opened, at: int, n_blocks: int, overruns: list[Overrun] | None = None) -> int:
    """Exclusive end of the next blocks, which begin at `at`; each event is checked and given back."""
    while n_blocks:
        event = next_event(board)
        assert not isinstance(event, Ended), "it ended before the suite's n_blocks"
        at = checked_event(event, said, at)
        if isinstance(event, Taken):
            n_blocks -= 1
            board.give_back()
        elif overruns is not None:
            overruns.append(event)
    return at


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
def another_process(board: Any, options: Mapping[str, Any], task: TaskPlan | None) -> Iterator[subprocess.Popen[str]]:
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
