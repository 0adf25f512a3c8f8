"""What a run will take: ring, data rate, disk, headroom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dtopipe.boards.board_types import SIMULATED
from dtopipe.model.errors import TopologyError
from dtopipe.model.plan import RunPlan
from dtopipe.shm.layout import Layout
from dtopipe.topology import cost as cost_module
from dtopipe.topology.checks import free_shared_memory
from dtopipe.topology.cost import Cost, estimate, size_text
from dtopipe.topology.load import load_plan

ECG = Path(__file__).parents[1] / "data" / "ecg.dt-raw"
SINKS = "sinks: {raw: {type: hbuf, path: r.dt-raw}, table: {type: csv, path: t.csv, channels: [a]}}\n"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(board: str = "type: simulated", rest: str = SINKS, n_channels: int = 2, **options: Any) -> RunPlan:
    channels = ", ".join(f"{{name: {name}}}" for name in "abcdefgh"[:n_channels])
    task = "" if "replay" in board else f"task: {{rate_hz: 1000, samples_per_block: 100, channels: [{channels}]}}\n"
    Path("t.yaml").write_text(f"board: {{{board}}}\n{task}{rest}")
    return load_plan(Path("t.yaml"), **options)


def cost_of(*arguments: Any, **options: Any) -> Cost:
    return estimate(plan_of(*arguments, **options))


def test_the_data_rate_is_that_of_all_channels() -> None:
    cost = cost_of(n_channels=8)
    assert (cost.n_channels, cost.rate_hz, cost.samples_per_s, cost.bytes_per_s) == (8, 1000, 8000, 16000)


def test_codes_are_as_long_as_the_type_of_board_says(monkeypatch: pytest.MonkeyPatch) -> None:
    short = cost_of()
    monkeypatch.setattr(cost_module, "known_board_type", lambda name: replace(SIMULATED, dtype=lambda options: "int32"))
    long = cost_of()
    assert (short.bytes_per_s, long.bytes_per_s) == (4000, 8000)
    assert long.slot_bytes > short.slot_bytes
    # Codes as they are take more in a file as well, numbers in a text do not.
    raw, table = (sink.bytes_per_s for sink in long.sinks)
    assert raw == pytest.approx(2000 * 4 + 10 * 420)
    assert table == short.sinks[1].bytes_per_s


def test_a_sink_costs_by_its_type_its_layout_and_its_channels() -> None:
    raw, table = cost_of().sinks
    assert (raw.samples_per_s, table.samples_per_s) == (2000, 1000)
    assert raw.bytes_per_s == pytest.approx(2000 * 2 + 10 * 420)
    assert table.bytes_per_s == pytest.approx(1000 * (66 + 20))
    assert table.gb_per_hour == pytest.approx(table.bytes_per_s * 3600 / 1e9)
    long = cost_of("type: simulated", SINKS.replace("t.csv,", "t.csv, layout: long,")).sinks[1]
    assert long.bytes_per_s == pytest.approx(1000 * 110)


def test_rows_are_visible_behind_a_commit_and_those_of_parquet_behind_a_row_group() -> None:
    sinks = """sinks:
  table: {type: csv, path: t.csv, flush_interval: 400ms}
  small: {type: parquet, path: a.parquet, row_group_size: 5000}
  large: {type: parquet, path: b.parquet}
  long: {type: parquet, path: c.parquet, layout: long}
  chunks: {type: hdf5, path: d.h5, chunk_rows: 500}
"""
    table, small, large, long, chunks = (sink.visible_after_s for sink in cost_of("type: simulated", sinks).sinks)
    assert table == pytest.approx(0.5)
    assert small == pytest.approx(5.5)
    assert large == pytest.approx(2**20 / 1000 + 0.5)
    assert long == pytest.approx(2**19 / 1000 + 0.5)
    assert chunks == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("ring", "slots"),
    [("{seconds: 2}", 20), ("{seconds: 0.25}", 3), ("{seconds: 0.001}", 2), ("{slots: 7}", 7), ("{bytes: 64KiB}", 85)],
)
def test_the_ring_is_what_the_run_will_make(ring: str, slots: int) -> None:
    cost = cost_of("type: simulated", f"ring: {ring}\n{SINKS}")
    shape = Layout(cost.ring_slots, 2, 100, "int16")
    assert (cost.ring_slots, cost.ring_bytes) == (slots, shape.segment_bytes)
    assert cost.ring_seconds == pytest.approx(slots * 0.1)


def test_a_clocked_board_has_its_own_buffers_besides_the_ring() -> None:
    clocked = cost_of()
    assert not clocked.waits
    assert clocked.headroom_s == pytest.approx(4.0 + 0.4)
    waiting = cost_of("type: simulated, pace: max")
    assert waiting.waits
    assert waiting.headroom_s == pytest.approx(4.0)


def test_the_length_of_a_run_is_the_first_of_what_ends_it() -> None:
    assert cost_of().length_s is None
    assert cost_of("type: simulated, max_samples: 5000").length_s == 5.0
    assert cost_of("type: simulated, max_samples: 5000", duration="2s").length_s == 2.0
    # Of what is lost on purpose nothing is written.
    lossy = "type: simulated, overruns: [{at: 1000, samples: 2000000000}, {at: 2000002000, samples: 10}]"
    assert cost_of(lossy + ", max_samples: 2000002005").length_s == 2.0
    assert cost_of(lossy, duration="1000s").length_s == 1.0
    ecg = "sinks: {t: {type: csv, path: t.csv}}\n"
    assert cost_of(f"type: replay, path: '{ECG.as_posix()}'", ecg).length_s == pytest.approx(300, rel=0.2)
    assert cost_of(f"type: replay, path: '{ECG.as_posix()}', loop: true", ecg).length_s is None


def test_a_recording_says_its_own_rate_channels_and_blocks() -> None:
    cost = cost_of(f"type: replay, path: '{ECG.as_posix()}'", "sinks: {t: {type: csv, path: t.csv}}\n")
    assert (cost.n_channels, cost.rate_hz, cost.samples_per_block, cost.bytes_per_s) == (1, 360.0, 360, 720.0)
    assert cost.waits


def test_what_is_written_to_one_disk_is_added_up(in_folder: Path) -> None:
    cost = cost_of("type: simulated", SINKS.replace("t.csv", f"{in_folder}/t.csv"))
    (disk,) = cost.disks
    assert disk.gb_per_hour == pytest.approx(cost.disk_gb_per_hour) == sum(sink.gb_per_hour for sink in cost.sinks)
    assert disk.full_after_h == cost.disk_full_after_h == pytest.approx(disk.free_gb / disk.gb_per_hour)


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev,
    reason="needs a second disk",
)
def test_each_disk_is_asked_for_what_goes_to_it() -> None:
    cost = cost_of("type: simulated", SINKS.replace("t.csv", "/dev/shm/dtopipe-test-t.csv"))
    assert [disk.gb_per_hour for disk in cost.disks] == [sink.gb_per_hour for sink in cost.sinks]
    with pytest.raises(TopologyError, match=r"this run would write about .* GB to /dev/shm, where"):
        plan_of("type: simulated", SINKS.replace("t.csv", "/dev/shm/dtopipe-test-t.csv"), duration="1000000h")


def test_a_ring_that_fits_is_the_way_out_of_one_that_does_not() -> None:
    with pytest.raises(TopologyError) as raised:
        plan_of("type: simulated", f"ring: {{bytes: {free_shared_memory() * 2}}}\n{SINKS}")
    (problem,) = raised.value.problems
    assert problem.key == "ring"
    assert "of shared memory that are free" in problem.message
    seconds = problem.remedy.removeprefix("set ring: {seconds: ").partition("}")[0]
    assert 0 < cost_of("type: simulated", f"ring: {{seconds: {seconds}}}\n{SINKS}").ring_bytes < free_shared_memory()


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (2048, "2.0 KiB"), (3 * 2**29, "1.5 GiB")]
)
def test_sizes_are_told_in_round_numbers(n_bytes: int, text: str) -> None:
    assert size_text(n_bytes) == text
