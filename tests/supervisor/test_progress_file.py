"""`progress.jsonl`: how a run went over time, in a file that stays small, whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parts import BLOCK, RATE_HZ, Bench, sink

from dtopipe.host.run_progress import stretches_of
from dtopipe.model.stretch import SinkStretch, Stretch
from dtopipe.supervisor import progress_file
from dtopipe.supervisor.progress_file import MOST_BYTES, MOST_LINES, ProgressFile, ProgressWatch

_DAY_S = 86_400


def _stretch(at_s: float, for_s: float, n_sinks: int = 1) -> Stretch:
    lag_s = 77.0 if at_s - for_s < 40_000 <= at_s else 0.5
    sinks = {f"table{n}": SinkStretch(round(at_s), 0, lag_s) for n in range(n_sinks)}
    return Stretch(round(at_s * 1e9), for_s, round(at_s), round(at_s), 0, 3.0, sinks)


def _write(file: ProgressFile, until_s: float, n_sinks: int = 1) -> int:
    at_s, n = 0.0, 0
    while at_s < until_s:
        at_s, n = at_s + file.for_s, n + 1
        file.append(_stretch(at_s, file.for_s, n_sinks))
    return n


@pytest.mark.parametrize(("days", "n_sinks"), [(1, 1), (31, 1), (1, 60)])
def test_it_is_bounded_however_long_the_run_and_hides_no_peak(tmp_path: Path, days: int, n_sinks: int) -> None:
    path = tmp_path / "progress.jsonl"
    file = ProgressFile(path)
    _write(file, days * _DAY_S, n_sinks)
    file.close()
    assert path.stat().st_size <= MOST_BYTES
    found = stretches_of(tmp_path, 10_000)
    assert 60 <= len(found) <= MOST_LINES
    assert sum(each.for_s for each in found) == found[-1].t_utc_ns / 1e9 >= days * _DAY_S
    assert max(each.sinks["table0"].lag_s for each in found) == 77.0
    assert [path.name for path in tmp_path.iterdir()] == ["progress.jsonl"]


def test_who_is_killed_leaves_whole_lines_and_a_torn_or_damaged_one_is_passed_over(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "progress.jsonl")
    _write(file, 10)
    # Nothing waits for a close.
    assert len(stretches_of(tmp_path, 100)) == 10
    file.close()
    with (tmp_path / "progress.jsonl").open("ab") as torn:
        torn.write(b'{"sinks": []}\n\xff\x00\n' + b"[" * 5000 + b'\n{"t_utc": "2026-11-')
    assert len(stretches_of(tmp_path, 100)) == 10
    assert stretches_of(tmp_path / "nowhere", 100) == []


@pytest.mark.parametrize("most", [2, 4, 10])
def test_a_reader_gets_as_many_as_it_wants_at_most(tmp_path: Path, most: int) -> None:
    file = ProgressFile(tmp_path / "progress.jsonl")
    _write(file, 53)
    file.close()
    found = stretches_of(tmp_path, most)
    assert most / 2 <= len(found) <= most
    assert sum(each.for_s for each in found) == 53


def test_what_a_full_disk_refuses_is_there_once_it_has_room(small_disk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "MOST_LINES", 40)
    disk = small_disk("1m")
    file = ProgressFile(disk.path / "progress.jsonl")
    _write(file, 30)
    ballast = disk.fill()
    for at_s in range(31, 200):
        file.append(_stretch(at_s, 1.0))
    assert not file.restore()
    # What was there before is still there, until the shorter form can take its place.
    assert len(stretches_of(disk.path, 100)) >= 30
    ballast.unlink()
    assert file.restore()
    found = stretches_of(disk.path, 100)
    assert found[-1].t_utc_ns == 199 * 10**9
    assert len(found) <= 40
    file.append(_stretch(300, 1.0))
    file.close()
    assert stretches_of(disk.path, 100)[-1].t_utc_ns == 300 * 10**9


def test_it_sees_the_longest_lag_between_two_lines_and_the_last_moments(a_bench: Callable[..., Bench]) -> None:
    bench = a_bench(sink("table"))
    folder = bench.folder.path
    watch = ProgressWatch(folder, bench.progress, bench.memory, bench.sinks)

    def pass_by(turns: int) -> None:
        for _ in range(turns):
            bench.turn(0.25)
            watch.look(bench.now_ns)

    pass_by(4)
    assert stretches_of(folder, 100) == []
    bench.run()
    pass_by(1)
    bench.publish(4)
    pass_by(2)
    bench.commit("table", 4 * BLOCK)
    pass_by(4)
    (first,) = stretches_of(folder, 100)
    # In step at the end of the second, and behind within it.
    assert first.sinks == {"table": SinkStretch(4 * BLOCK, 0, 4 * BLOCK / RATE_HZ)}
    assert (first.samples, first.end_sample_index, first.headroom_s) == (4 * BLOCK, 4 * BLOCK, 4 * BLOCK / RATE_HZ)
    bench.publish(1)
    pass_by(1)
    watch.close()
    assert [each.samples for each in stretches_of(folder, 100)] == [4 * BLOCK, 5 * BLOCK]
