"""The run folder's files of lines, which are written for as long as a run goes on."""

from __future__ import annotations

import json
from pathlib import Path

from dtopipe.model.clock import Anchor
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.supervisor.lines import ClockFile, GapsFile


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
