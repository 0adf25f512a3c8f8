"""The simulated board does what the contract says of it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.boards.simulated import SimulatedBoard
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.model.span import Span
from dtopipe.model.stream import SensorStatus

pytestmark = pytest.mark.python313

COUNTER = {"waveform": "counter", "pace": "max"}


def task(n_channels: int = 2, samples_per_block: int = 100, rate_hz: float = 1000.0, **channel: Any) -> TaskPlan:
    channels = tuple(ChannelPlan(f"ch{c}", **channel) for c in range(n_channels))
    return TaskPlan("lab", rate_hz, samples_per_block, channels)


def everything(board: SimulatedBoard, at: int = 0, most: int = 10_000) -> list[Any]:
    """All events; the codes are copied before the buffer is given back."""
    board.open()
    board.start(at)
    events: list[Any] = []
    while len(events) < most:
        event = board.read(1.0)
        if isinstance(event, Taken):
            event = Taken(event.first_sample_index, event.codes.copy(), event.sensor_status)
            board.give_back()
        events.append(event)
        if isinstance(event, Ended):
            break
    board.close()
    return events


def formula(n_channels: int, start: int, stop: int) -> NDArray[np.int16]:
    c = np.arange(n_channels)[:, None]
    i = np.arange(start, stop)[None, :]
    return ((i * (2 * c + 1) + 257 * c) % 65536 - 32768).astype(np.int16)


@pytest.mark.parametrize(("n_channels", "samples_per_block"), [(3, 1), (16, 7), (5, 997)])
def test_the_counter_at_full_pace_is_the_formula_and_ends_at_max_samples(
    n_channels: int, samples_per_block: int
) -> None:
    *blocks, end = everything(
        SimulatedBoard({**COUNTER, "max_samples": 2500}, task(n_channels, samples_per_block)), most=2600
    )
    assert end == Ended(2500)
    codes = np.concatenate([block.codes for block in blocks], axis=1)
    assert codes.dtype == np.int16
    assert np.array_equal(codes, formula(n_channels, 0, 2500))


def test_full_pace_starts_at_any_index() -> None:
    board = SimulatedBoard({**COUNTER, "max_samples": 10**12 + 150}, task())
    first, second, end = everything(board, at=10**12)
    assert first.first_sample_index == 10**12
    assert np.array_equal(first.codes, formula(2, 10**12, 10**12 + 100))
    assert np.array_equal(second.codes, formula(2, 10**12 + 100, 10**12 + 150))
    assert end == Ended(10**12 + 150)


def test_scripted_overruns_cut_the_block_and_indices_go_on_behind_them() -> None:
    overruns = [{"at": 150, "samples": 60}, {"at": 400, "samples": 999}]
    events = everything(SimulatedBoard({**COUNTER, "overruns": overruns, "max_samples": 500}, task()))
    spans = [
        event.span if isinstance(event, Overrun) else (event.first_sample_index, event.codes.shape[1])
        for event in events[:-1]
    ]
    assert spans == [(0, 100), (100, 50), Span(150, 210), (210, 100), (310, 90), Span(400, 500)]
    assert np.array_equal(events[3].codes, formula(2, 210, 310))
    assert events[-1] == Ended(500)


def test_a_restart_within_a_scripted_overrun_announces_the_rest_of_it() -> None:
    board = SimulatedBoard({**COUNTER, "overruns": [{"at": 100, "samples": 100}], "max_samples": 300}, task())
    overrun, block, _ = everything(board, at=150)
    assert overrun == Overrun(Span(150, 200))
    assert block.first_sample_index == 200


def test_a_clocked_board_that_nobody_reads_overruns_and_says_what_it_lost(wait_for: Any) -> None:
    plan = TaskPlan("lab", 1e6, 100, (ChannelPlan("a"),), driver_buffers=4)
    board = SimulatedBoard({"waveform": "counter"}, plan)
    opened = board.open()
    assert (opened.clocked, opened.resumable) == (True, False)
    board.start(0)
    first = board.read(5.0)
    assert isinstance(first, Taken)
    assert first.first_sample_index == 0
    # Meanwhile 200 blocks complete: with one lent, three of them are held.
    asleep_until = mono_ns() + 20_000_000
    wait_for(lambda: mono_ns() > asleep_until)
    board.give_back()
    board.stop()
    events = []
    at = 100
    while not isinstance(event := board.read(0.0), Ended):
        if isinstance(event, Overrun):
            assert event.span.start == at
            at = event.span.stop
        else:
            assert isinstance(event, Taken)
            assert event.first_sample_index == at
            assert np.array_equal(event.codes, formula(1, at, at + event.codes.shape[1]))
            at += event.codes.shape[1]
        events.append(event)
        board.give_back()
    assert [isinstance(event, Taken) for event in events[:4]] == [True, True, True, False]
    assert isinstance(events[3], Overrun)
    assert len(events[3].span) >= 20_000 - 400
    assert event.end_sample_index == at
    assert board.read(0.0) == event
    board.close()


def test_a_clocked_board_hands_a_block_over_when_it_is_complete_and_not_before() -> None:
    board = SimulatedBoard({"waveform": "counter"}, task(1, samples_per_block=50, rate_hz=1000.0))
    board.open()
    board.start(7000)
    assert board.read(0.0) is None
    block = board.read(5.0)
    assert isinstance(block, Taken)
    assert block.first_sample_index == 7000
    board.close()


def test_a_stop_ends_the_clocked_board_with_the_block_it_was_filling() -> None:
    board = SimulatedBoard({}, task(1, samples_per_block=100_000, rate_hz=1e6))
    board.open()
    board.start(0)
    assert board.read(0.01) is None
    board.stop()
    block, end = board.read(0.0), None
    assert isinstance(block, Taken)
    board.give_back()
    end = board.read(0.0)
    assert isinstance(end, Ended)
    assert 10_000 <= end.end_sample_index == block.codes.shape[1] <= 100_000
    board.close()


def test_a_stop_at_full_pace_ends_where_the_reader_is() -> None:
    board = SimulatedBoard(COUNTER, task())
    board.open()
    board.start(0)
    board.read(0.0)
    board.give_back()
    board.stop()
    assert board.read(0.0) == Ended(100)
    board.close()


def test_a_sensor_fault_is_a_status_at_its_samples_and_none_elsewhere() -> None:
    faults = [{"channel": "ch1", "at": 150, "samples": 100, "status": "open"}]
    events = everything(SimulatedBoard({**COUNTER, "sensor_faults": faults, "max_samples": 400}, task()))
    first, second, third, fourth, _ = events
    assert first.sensor_status is None
    assert fourth.sensor_status is None
    assert (second.sensor_status[1, 50:] == SensorStatus.OPEN).all()
    assert not second.sensor_status[1, :50].any()
    assert not second.sensor_status[0].any()
    assert third.sensor_status[1].tolist() == [SensorStatus.OPEN] * 50 + [SensorStatus.OK] * 50


def test_scales_are_those_of_a_16_bit_converter_and_raw_codes_stay() -> None:
    voltage, raw = (
        SimulatedBoard({}, task(1, kind=kind, range=(-0.1, 0.3), unit="mV")).open().channels[0]
        for kind in ("voltage", "raw")
    )
    assert voltage.scale == (0.3 - -0.1) / 65536
    assert voltage.offset == -0.1 + 32768 * voltage.scale
    assert (voltage.range, voltage.unit) == ((-0.1, 0.3), "mV")
    assert (raw.scale, raw.offset, raw.is_raw) == (1.0, 0.0, True)


def test_a_channel_overrides_the_signal_of_the_board() -> None:
    channels = (
        ChannelPlan("a"),
        ChannelPlan("b", options={"waveform": "counter"}),
        ChannelPlan("c", options={"frequency_hz": 250.0, "amplitude": 1.0}),
        ChannelPlan("d", options={"phase": math.pi / 2, "frequency_hz": 250, "amplitude": 1, "waveform": None}),
    )
    options = {"pace": "max", "max_samples": 8, "amplitude": 0.0}
    block, _ = everything(SimulatedBoard(options, TaskPlan("lab", 1000.0, 8, channels)))
    assert not block.codes[0].any()
    assert np.array_equal(block.codes[1], formula(2, 0, 8)[1])
    assert block.codes[2].tolist() == [0, 32767, 0, -32768] * 2
    assert block.codes[3].tolist() == [32767, 0, -32768, 0] * 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wavform": "sine"}, ["wavform", "did you mean waveform"]),
        ({"waveform": "cuonter"}, ["cuonter", "did you mean counter"]),
        ({"pace": "fast"}, ["pace", "realtime, max"]),
        ({"amplitude": 2}, ["amplitude is 2", "from 0 to 1"]),
        ({"frequency_hz": "high"}, ["high"]),
        ({"phase": float("inf")}, ["finite"]),
        ({"overruns": [{"at": 5}]}, ["samples"]),
        ({"sensor_faults": [{"channel": "x", "at": 0, "samples": 1, "status": "open"}]}, ["'x'", "ch0, ch1"]),
    ],
)
def test_a_wrong_option_is_refused_with_the_way_out(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BoardError) as refused:
        SimulatedBoard(options, task()).open()
    for word in words:
        assert word in str(refused.value)


HOLDER = """
import sys
from dtopipe.boards.simulated import SimulatedBoard
from dtopipe.model.plan import ChannelPlan, TaskPlan
board = SimulatedBoard({"device": sys.argv[1]}, TaskPlan("other-run", 1000.0, 100, (ChannelPlan("a"),)))
board.open()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_named_device_belongs_to_one_process_until_it_lets_go_or_dies() -> None:
    # On the machine, whoever tests there at the same time.
    front, back = (f"DT9837 ({side}) {os.getpid()}" for side in ("front", "back"))
    elsewhere = {**os.environ, "DTOPIPE_RUNTIME_DIR": "/nonexistent/session", "XDG_RUNTIME_DIR": "/nonexistent"}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, front],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=elsewhere,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        board = SimulatedBoard({"device": front}, task())
        with pytest.raises(BoardError) as refused:
            board.open()
        for words in (front, "'other-run'", str(holder.pid), "dtopipe stop"):
            assert words in str(refused.value)
        board.close()
        other = SimulatedBoard({"device": back}, task())
        assert other.open().device == back
        other.close()
        holder.kill()
        holder.wait()
        assert board.open().device == front
        board.close()
    again = SimulatedBoard({"device": front}, task())
    again.open()
    again.close()


def test_without_a_name_any_number_of_runs_share_the_simulated_device() -> None:
    one, two = SimulatedBoard({}, task()), SimulatedBoard({}, task())
    assert one.open().device == two.open().device == "simulated"
    one.close()
    two.close()


def test_while_its_away_file_is_there_it_can_neither_be_opened_nor_read(tmp_path: Path) -> None:
    away = tmp_path / "away"
    board = SimulatedBoard({**COUNTER, "away_file": str(away)}, task())
    away.touch()
    with pytest.raises(BoardError, match="does not answer"):
        board.open()
    away.unlink()
    board.open()
    board.start(0)
    away.touch()
    with pytest.raises(BoardError, match="does not answer"):
        board.read(0)
    away.unlink()
    assert isinstance(board.read(0), Taken)
    board.close()
