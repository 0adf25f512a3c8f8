"""The run folder's files of lines, which are written for as long as a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dtopipe.host.run_marks import marks_of
from dtopipe.host.run_readings import readings_of
from dtopipe.model.clock import Anchor
from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.supervisor.lines import ClockFile, EventsFile, GapsFile, LineFile


def _gap(number: int) -> Gap:
    return Gap(Span(10 * number, 10 * number + 1), Cause.POLICY_DROP, number)


def _remembered(file: GapsFile) -> int:
    return sum(len(spans) for spans in file._written.values())


def test_a_hundred_thousand_gaps_are_all_written_and_not_remembered(tmp_path: Path) -> None:
    file = GapsFile(tmp_path / "gaps.jsonl")
    for number in range(0, 100_000, 100):
        file.append("view", [_gap(number + k) for k in range(100)])
    assert _remembered(file) < 3000
    file.close()
    with (tmp_path / "gaps.jsonl").open() as lines:
        assert sum(1 for _ in lines) == 100_000


def test_what_a_successor_tells_again_is_written_once(tmp_path: Path) -> None:
    file = GapsFile(tmp_path / "gaps.jsonl")
    first = [_gap(number) for number in range(5000)]
    assert file.append("view", first) == first
    assert file.append("view", [*first[-1000:], _gap(5000)]) == [_gap(5000)]
    assert file.append(None, first[-1:]) == first[-1:]
    file.close()


def test_who_completes_a_killed_runs_record_knows_every_gap_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "gaps.jsonl"
    file = GapsFile(path)
    file.append("view", [_gap(number) for number in range(5000)])
    file.close()
    with path.open("a") as torn:
        torn.write('{"sink": "view", "sta')
    again = GapsFile(path, remembered=None)
    assert again.append("view", [_gap(number) for number in range(5001)]) == [_gap(5000)]
    again.close()


def test_clock_pairs_are_written_and_not_kept(tmp_path: Path) -> None:
    file = ClockFile(tmp_path / "clock.jsonl")
    for second in range(50):
        file.append(Anchor(1000 * second, 10**9 * second, 10**9 * second))
    file.close()
    assert file.fit.rate_and_jitter() == (1000.0, 0.0)
    lines = (tmp_path / "clock.jsonl").read_text().splitlines()
    assert len(lines) == 50
    assert json.loads(lines[-1])["sample_index"] == 49_000
    assert not [value for value in vars(file).values() if isinstance(value, (list, dict, set))]


def _mark(number: int) -> Mark:
    return Mark(number, f"mark {number}", 10 * number, number, number, "x" * 2000, "ada@lab", number)


def test_marks_are_written_however_many_there_are_and_other_events_are_counted(tmp_path: Path) -> None:
    file = EventsFile(tmp_path / "events.jsonl", lambda: 5)
    for number in range(1, 101):
        assert file.append_mark(_mark(number))
        file.append("away", "table")
    file.close()
    assert list(marks_of(tmp_path)) == [_mark(number) for number in range(1, 101)]
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines].count("away") == 20
    assert lines[-1]["times"] == 100


def test_a_mark_that_a_full_disk_has_no_room_for_waits_and_is_not_called_safe(small_disk: Any) -> None:
    disk = small_disk("1m")
    file = EventsFile(disk.path / "events.jsonl", lambda: 5)
    assert file.append_mark(_mark(1))
    ballast = disk.fill()
    told = [file.append_mark(_mark(number)) for number in range(2, 8)]
    assert told[-1] is False
    assert told == sorted(told, reverse=True)
    ballast.unlink()
    assert file.append_mark(_mark(8))
    file.close()
    assert list(marks_of(disk.path)) == [_mark(number) for number in range(1, 9)]


def test_a_reading_that_a_full_disk_has_no_room_for_was_never_there(small_disk: Any) -> None:
    disk = small_disk("1m")
    file = LineFile(disk.path / "instruments.jsonl")
    readings = [InstrumentReading(number, "x" * 100, 1, 1, 1, {"v" * 50: 1.0}) for number in range(1, 100)]
    ballast = disk.fill()
    written = [reading for reading in readings if file.append_now(reading.to_json())]
    assert len(written) < len(readings)
    ballast.unlink()
    assert file.append_now(readings[-1].to_json())
    assert file.sync()
    file.close()
    assert list(readings_of(disk.path)) == [*written, readings[-1]]
