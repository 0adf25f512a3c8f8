"""The driver library's boards lose nothing silently, and time every sample as it was taken; on its fake backend."""

from __future__ import annotations

import csv
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dtopipe.boards.code_tables import code_source
from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.boards.driver_library.board import DriverLibraryBoard
from dtopipe.boards.driver_library.codes import Converter
from dtopipe.boards.driver_library.drain import BufferDrain
from dtopipe.boards.driver_library.driver import RealDriver
from dtopipe.boards.driver_library.fake import Pump
from dtopipe.boards.pace import StartedClock
from dtopipe.boards.timeline import BlockTimeline
from dtopipe.boards.waveform import Counter
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.model.span import Span
from dtopipe.tools.replay_raw import iter_blocks

pytestmark = [
    pytest.mark.python313,
    pytest.mark.skipif(sys.version_info < (3, 13), reason="the driver library needs Python 3.13"),
]
READY, DONE = 0, 2
SCALE = 20 / 65536


def formula(n_channels: int, start: int, stop: int) -> NDArray[np.int16]:
    c = np.arange(n_channels)[:, None]
    i = np.arange(start, stop)[None, :]
    return ((i * (2 * c + 1) + 257 * c) % 65536 - 32768).astype(np.int16)


def task(n_channels: int = 3, rate_hz: float = 2000.0, samples_per_block: int = 50, **other: Any) -> TaskPlan:
    channels = tuple(ChannelPlan(f"ch{c}") for c in range(n_channels))
    return TaskPlan("lab", rate_hz, samples_per_block, channels, **other)


def channel_task(**channel: Any) -> TaskPlan:
    return TaskPlan("lab", 1000.0, 50, (ChannelPlan("ch0", **channel),))


Made = Callable[..., DriverLibraryBoard]


@pytest.fixture
def board(wait_for: Any) -> Iterator[Made]:
    """`board(task, **options)` on the fake backend; closed afterwards, and no thread is left."""
    made: list[DriverLibraryBoard] = []
    threads = set(threading.enumerate())

    def make(plan: TaskPlan | None = None, **options: Any) -> DriverLibraryBoard:
        chosen = {"backend": "fake", "waveform": "counter", **options}
        made.append(DriverLibraryBoard(chosen, task() if plan is None else plan))
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.close()
    # Those of the driver library's own event loop end a moment after it.
    wait_for(lambda: set(threading.enumerate()) <= threads, message=f"left: {set(threading.enumerate()) - threads}")


def everything(board: DriverLibraryBoard) -> list[Any]:
    """All that a started board has, to its end; every sample is held to the formula of its index."""
    events: list[Any] = []
    at = None
    while not events or not isinstance(events[-1], Ended):
        event = board.read(5.0)
        assert event is not None
        if isinstance(event, Taken):
            n_channels, n = event.codes.shape
            assert event.codes.dtype == np.int16
            stop = event.first_sample_index + n
            assert np.array_equal(event.codes, formula(n_channels, event.first_sample_index, stop))
            assert at in (None, event.first_sample_index)
            at = stop
            events.append(Span(event.first_sample_index, stop))
            board.give_back()
        else:
            if isinstance(event, Overrun):
                assert at in (None, event.span.start)
                at = event.span.stop
            events.append(event)
    return events


def backend_of(board: DriverLibraryBoard) -> tuple[Any, int]:
    assert board._driver is not None
    return board._driver.backend, board._session.raw_hdass


def test_every_sample_is_the_formula_and_the_end_is_the_one_that_was_set(board: Made) -> None:
    made = board(max_samples=1020)
    opened = made.open()
    assert (opened.device, opened.dtype, opened.rate_hz) == ("DT9805(00)", "int16", 2000.0)
    assert (opened.simulated, opened.clocked, opened.resumable, opened.polled) == (True, True, False, False)
    assert [(each.scale, each.offset, each.range) for each in opened.channels] == [(SCALE, 0.0, (-10.0, 10.0))] * 3
    made.start(0)
    *spans, end = everything(made)
    assert end == Ended(1020)
    assert spans == [Span(at, min(at + 50, 1020)) for at in range(0, 1020, 50)]
    assert made.read(0) == end


def test_the_first_samples_time_is_its_own_and_not_its_blocks_end(board: Made) -> None:
    made = board(task(rate_hz=1000.0, samples_per_block=100), max_samples=200)
    made.open()
    before_ns = mono_ns()
    t_first_ns = made.start(0)
    after_ns = mono_ns()
    assert t_first_ns is not None
    assert t_first_ns >= before_ns
    # The whole first block was taken since, 100 ms of it.
    assert t_first_ns + 100_000_000 <= after_ns
    assert everything(made)[-1] == Ended(200)


def test_an_overrun_in_mid_run_is_a_gap_and_what_follows_has_its_true_index(board: Made) -> None:
    made = board(overruns=[{"at": 0, "samples": 30}, {"at": 210, "samples": 77}, {"at": 800, "samples": 400}],
                 max_samples=1000)  # fmt: skip
    made.open()
    made.start(0)
    events = everything(made)
    lost = [event.span for event in events if isinstance(event, Overrun)]
    assert lost == [Span(0, 30), Span(210, 287), Span(800, 1000)]
    assert events[-1] == Ended(1000)


def test_a_restarted_board_begins_at_the_index_that_it_is_given(board: Made) -> None:
    made = board(max_samples=70_200)
    made.open()
    made.start(70_000)
    assert everything(made)[0] == Span(70_000, 70_050)


def test_the_driver_has_its_buffers_back_while_nobody_reads(board: Made, wait_for: Any) -> None:
    made = board(task(driver_buffers=5), max_samples=1000)
    made.open()
    made.start(0)
    backend, hdass = backend_of(made)
    pump = made._driver._pump  # type: ignore[union-attr]
    end_ns = pump._clock.due_ns(1000)
    wait_for(lambda: pump.t_event_ns >= end_ns - 1 and backend.get_queue_size(hdass, DONE) == 0)
    wait_for(lambda: backend.get_queue_size(hdass, READY) == 5, message="buffers were kept")
    # What nobody took is an overrun with its true length; the oldest blocks are kept.
    events = everything(made)
    assert events == [*[Span(at, at + 50) for at in range(0, 250, 50)], Overrun(Span(250, 1000)), Ended(1000)]


def test_a_reader_that_stalls_gets_overruns_by_name_and_never_wrong_samples(board: Made, wait_for: Any) -> None:
    made = board(task(samples_per_block=20), max_samples=4000)
    made.open()
    made.start(0)
    pump = made._driver._pump  # type: ignore[union-attr]
    first: Any = made.read(5.0)
    kept = first.codes
    stalled_to = pump._clock.due_ns(1000)
    wait_for(lambda: pump.t_event_ns >= stalled_to - 1)
    assert np.array_equal(kept, formula(3, 0, 20))
    made.give_back()
    events = everything(made)
    lost = [event.span for event in events if isinstance(event, Overrun)]
    assert lost
    assert lost[0].start == 100
    taken = [event for event in events if isinstance(event, Span)]
    assert 20 + sum(map(len, taken)) + sum(map(len, lost)) == 4000


def test_the_fake_backends_log_does_not_grow(board: Made) -> None:
    made = board(task(samples_per_block=5), max_samples=2000)
    made.open()
    made.start(0)
    everything(made)
    assert len(backend_of(made)[0].operations) < 50


def test_a_stop_delivers_what_was_begun_and_then_ends(board: Made) -> None:
    made = board()
    made.open()
    made.start(0)
    made.stop()
    made.stop()
    events = everything(made)
    spans = [event for event in events if isinstance(event, Span)]
    assert spans[0].start == 0
    assert events[-1] == Ended(spans[-1].stop)


@pytest.mark.parametrize("started", [False, True])
def test_a_board_that_is_left_early_is_closed_at_once(board: Made, started: bool) -> None:
    made = board(task(rate_hz=1000.0, samples_per_block=60_000))
    made.open()
    if started:
        # A block takes a minute.
        made.start(0)
        assert made.read(0) is None
        made.stop()
    backend, hdass = backend_of(made)
    made.close()
    assert not backend.is_running(hdass)
    with pytest.raises(BoardError, match="before it was started"):
        made.read(0)


def test_device_and_element_are_the_drivers_own(board: Made) -> None:
    made = board(device="DT9806(03)")
    assert made.open().device == "DT9806(03)"
    with pytest.raises(BoardError, match="cannot be opened"):
        board(element=7).open()


def test_a_driver_that_stops_by_itself_or_fails_is_an_error_behind_what_it_gave(board: Made, wait_for: Any) -> None:
    from dtollib import SdkEventKind

    for event, message in (
        (SdkEventKind.QUEUE_DONE, "stopped by itself"),
        (SdkEventKind.TRIGGER_ERROR, "trigger error"),
    ):
        made = board()
        made.open()
        made.start(0)
        backend, hdass = backend_of(made)
        backend.fire_event(hdass, event)
        with pytest.raises(BoardError, match=message):
            everything(made)
        made.close()
    made = board()
    made.open()
    made.start(0)
    backend_of(made)[0].fail_next("put_buffer", code=20)
    with pytest.raises(BoardError, match="the driver failed: scripted failure"):
        everything(made)


def test_buffers_that_run_out_are_an_overrun_event_of_the_fake_driver() -> None:
    from dtollib.capi import constants
    from dtollib.testing import make_fake_backend

    backend = make_fake_backend(include_dt9805=True)
    hdass = _subsystem_with_three_buffers(backend)
    told: list[tuple[int, int]] = []
    clock = StartedClock(SampleClock(10_000.0), 0, mono_ns())
    source = code_source([Counter(0), Counter(1)], 10)
    converter = Converter(-10.0, 10.0, 16, twos_complement=False)
    pump = Pump(backend, hdass, clock, BlockTimeline(0, 10, (), 100), source, converter)

    def note(message: int, wparam: int, lparam: int) -> int:
        told.append((message, pump.t_event_ns))
        return 0

    backend.register_notification(hdass, note)
    pump.start()
    pump.join()
    assert [message for message, _ in told] == (
        [constants.OLDA_WM_BUFFER_DONE] * 3 + [constants.OLDA_WM_OVERRUN_ERROR] * 7 + [constants.OLDA_WM_QUEUE_DONE]
    )
    assert [t - clock.t_started_ns for _, t in told[:10]] == [1_000_000 * n for n in range(1, 11)]


def _subsystem_with_three_buffers(backend: Any) -> int:
    from dtollib.capi.constants import OLSS_AD

    hdass: int = backend.get_dass(backend.initialize("DT9805(00)"), OLSS_AD, 0)
    for _ in range(3):
        backend.put_buffer(hdass, backend.alloc_buffer(20, 2))
    return hdass


class DriverByHand(RealDriver):
    """What the real driver does, on the fake backend; `fill` completes a buffer of counter codes."""

    def __init__(self, backend: Any, left_at_stop: int = 0) -> None:
        self.backend = backend
        self._left_at_stop = left_at_stop
        self._next = 0

    def fill(self, hdass: int, n_samples: int) -> None:
        codes = formula(2, self._next, self._next + n_samples)
        self._next += n_samples
        self.backend.fire_buffer_done(hdass, fill=(codes.T.reshape(-1).view(np.uint16) ^ 0x8000))

    def stop(self, hdass: int) -> bool:
        if self._left_at_stop:
            self.fill(hdass, self._left_at_stop)
        return super().stop(hdass)


def test_a_real_drivers_stop_delivers_the_buffer_in_hand_and_ends_without_a_further_event() -> None:
    from dtollib import SdkEventKind
    from dtollib.capi.constants import OL_DF_CONTINUOUS
    from dtollib.testing import make_fake_backend

    driver = DriverByHand(make_fake_backend(include_dt9805=True), left_at_stop=4)
    backend, hdass = driver.backend, _subsystem_with_three_buffers(driver.backend)
    backend.set_data_flow(hdass, OL_DF_CONTINUOUS)
    backend.commit(hdass)
    drain = BufferDrain(driver, hdass, Converter(-10.0, 10.0, 16, twos_complement=False), 2, 0.1, capacity=8)
    backend.register_notification(hdass, drain.notify)
    backend.arm(hdass)
    drain.start(SampleClock(1e-3), 0)
    for n_samples in (10, 10, 7, 10):
        driver.fill(hdass, n_samples)
        taken: Any = drain.next(5.0)
        assert np.array_equal(taken.codes, formula(2, driver._next - n_samples, driver._next))
    # Less than a sample's time: nothing can have been lost, whatever the driver says.
    backend.fire_event(hdass, SdkEventKind.BUFFER_REUSED)
    drain.stop()
    last: Any = drain.next(5.0)
    assert (last.first_sample_index, last.codes.shape) == (37, (2, 4))
    assert drain.next(5.0) == Ended(41)
    assert drain.next(0) == Ended(41)
    drain.close()
    assert backend.get_queue_size(hdass, READY) == 3


def test_a_range_that_is_not_the_boards_is_refused_with_the_gain_that_gives_it(board: Made) -> None:
    with pytest.raises(BoardError, match="measures -10 to 10 V at gain 1, not -5 to 5 V") as raised:
        board(channel_task(range=(-5.0, 5.0))).open()
    assert "gain: 2" in raised.value.remedy
    (channel,) = board(channel_task(range=(-5.0, 5.0), options={"gain": 2})).open().channels
    assert (channel.range, channel.scale, channel.details["gain"]) == ((-5.0, 5.0), 10 / 65536, 2.0)


def test_each_kind_of_input_is_asked_of_the_driver_with_its_options(board: Made) -> None:
    made = board(channel_task(kind="thermocouple", unit="degC", options={"thermocouple_type": "K", "note": "left"}))
    (channel,) = made.open().channels
    assert (made._specs[0].thermocouple_type, made._specs[0].gain) == ("K", 100.0)
    # Its codes are of the voltage at the input.
    assert (channel.unit, channel.range) == ("V", (-0.1, 0.1))
    assert (channel.details["thermocouple_type"], channel.details["note"]) == ("K", "left")
    (channel,) = board(channel_task(kind="raw")).open().channels
    assert (channel.is_raw, channel.scale, channel.offset, channel.unit) == (True, 1.0, 0.0, "")
    (channel,) = board(channel_task(kind="rtd", options={"rtd_type": "pt3916"}, physical_channel=40)).open().channels
    assert (channel.kind, channel.physical_channel) == ("rtd", 40)


@pytest.mark.parametrize(
    ("channel", "message", "remedy"),
    [
        ({"kind": "voltmeter"}, "there is no kind 'voltmeter'", "there are voltage"),
        ({"options": {"gian": 2}}, "there is no option 'gian'", "did you mean gain?"),
        ({"kind": "thermocouple"}, "thermocouple_type", "thermocouple input has"),
        ({"kind": "thermocouple", "options": {"thermocouple_type": "Q"}}, "'Q'", "thermocouple input has"),
        ({"options": {"filter": "sieve"}}, "sieve", "voltage input has"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(board: Made, channel: dict[str, Any], message: str, remedy: str) -> None:
    with pytest.raises(BoardError) as raised:
        board(channel_task(**channel)).open()
    assert message in raised.value.message
    assert remedy in raised.value.remedy


@pytest.mark.skipif(os.name == "nt", reason="the driver may be there")
def test_where_there_is_no_driver_the_fake_one_and_the_rehearsal_are_named() -> None:
    with pytest.raises(BoardError, match="for Windows only") as raised:
        DriverLibraryBoard({}, task()).open()
    assert "backend: fake" in raised.value.remedy
    assert "up --simulate" in raised.value.remedy


def test_a_polled_task_reads_single_values_with_times_of_their_own(board: Made) -> None:
    made = board(task(rate_hz=200.0, polled=True), max_samples=20)
    opened = made.open()
    assert (opened.polled, opened.samples_per_block) == (True, 1)
    assert made.start(0) is None
    readings = 0
    while not isinstance(event := made.read(5.0), Ended):
        if isinstance(event, Taken):
            assert event.poll is not None
            assert event.poll.latency_ns > 0
            assert np.array_equal(event.codes, formula(3, event.first_sample_index, event.first_sample_index + 1))
            readings += 1
    assert readings > 0
    assert event == Ended(20)


@pytest.mark.anyio
async def test_a_program_records_from_it() -> None:
    from dtopipe import AnalogInputVoltage, BufferPlan, DataFlow, OverflowPolicy, TaskSpec, Timing, open_device, record

    spec = TaskSpec(
        name="heat",
        channels=[
            AnalogInputVoltage(physical_channel=0, name="flux"),
            AnalogInputVoltage(physical_channel=1, name="small", gain=10.0),
        ],
        data_flow=DataFlow.FINITE,
        timing=Timing(rate_hz=1000.0, samples_per_channel=330),
        buffers=BufferPlan(samples_per_buffer=100),
    )
    options = {"backend": "fake", "waveform": "counter"}
    blocks = []
    async with (
        await open_device(spec, board="dtollib", options=options, autostart=False) as session,
        record(session, overflow=OverflowPolicy.BLOCK) as recording,
    ):
        async for block in recording.stream:
            blocks.append(block)
    data = np.concatenate([block.data for block in blocks], axis=1)
    assert np.allclose(data, formula(2, 0, 330) * np.array([[SCALE], [SCALE / 10]]), rtol=0, atol=1e-12)
    assert [block.t_mono_ns - blocks[0].t_mono_ns for block in blocks] == [0, 100_000_000, 200_000_000, 300_000_000]


TOPOLOGY = """
name: heat
board: {type: dtollib, backend: fake, waveform: counter, overruns: [{at: 1210, samples: 333}], max_samples: 3000}
task:
  rate_hz: 2000
  samples_per_block: 100
  channels: [{name: flux}, {name: tc1}]
sinks:
  table: {type: csv, path: table.csv}
  raw: {type: hbuf, path: raw.dt-raw}
"""


def test_a_whole_run_is_the_formula_sample_by_sample_in_every_output(tmp_path: Path, run_cli: Any) -> None:
    (tmp_path / "heat.yaml").write_text(TOPOLOGY, encoding="utf-8")
    ended = run_cli("up", "heat.yaml", "--json")
    assert ended.code == 3, ended.stderr
    record = ended.json
    assert record["simulated"] is True
    acquired = record["acquired"]
    assert (acquired["end_sample_index"], acquired["samples"], acquired["overrun_samples"]) == (3000, 2667, 333)
    folder = next(path.parent for path in tmp_path.glob("runs/heat/*/table.csv"))
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    index = np.array([int(row["sample_index"]) for row in rows])
    assert np.array_equal(index, np.r_[0:1210, 1543:3000])
    expected = formula(2, 0, 3000) * SCALE
    for number, name in enumerate(("flux", "tc1")):
        assert [float(row[name]) for row in rows] == [float(value) for value in expected[number, index]]
    times = np.array([int(row["t_mono_ns"]) for row in rows])
    assert np.array_equal(times - times[0], index * 500_000)
    codes = [block for block in iter_blocks(folder / "raw.dt-raw") if block.samples_per_channel]
    raw = np.concatenate([block.raw_codes for block in codes if block.raw_codes is not None], axis=1)
    assert np.array_equal(raw, formula(2, 0, 3000)[:, index])


def test_a_run_that_is_stopped_ends_in_order_and_whole(tmp_path: Path, run_cli: Any) -> None:
    text = TOPOLOGY.replace(", overruns: [{at: 1210, samples: 333}], max_samples: 3000", "")
    (tmp_path / "heat.yaml").write_text(text, encoding="utf-8")
    ended = run_cli("up", "heat.yaml", "--duration", "600ms", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["samples"] == 1200
