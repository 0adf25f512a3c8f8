"""The marks of a run are read from its folder, whatever else stands in its events."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dtopipe.host.run_marks import mark_line, marks_of
from dtopipe.model.errors import UsageError
from dtopipe.model.marks import Mark

MARK = Mark(1, "ignition", 20_000, 5_000_000_123, 1_795_910_460_000_000_456, "", "ada@lab", 1_795_910_463_000_000_000)


def test_marks_are_given_by_sample_index_and_once(tmp_path: Path) -> None:
    late, early = replace(MARK, number=2, sample_index=30_000), replace(MARK, number=3, sample_index=100)
    lines = [{"event": "running"}, mark_line(MARK, "t"), mark_line(late, "t"), mark_line(early, "t")]
    lines.append(mark_line(replace(MARK, label="again"), "t"))
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    assert marks_of(tmp_path) == (early, MARK, late)


def test_a_torn_or_spoilt_line_is_passed_over(tmp_path: Path) -> None:
    whole = json.dumps(mark_line(MARK, "t"))
    spoilt = [
        '{"event": "mark"}',
        '{"event": "mark", "mark": 3}',
        "[]",
        '"mark"',
        '{"event": "mark", "mark": {"number": 1}}',
    ]
    data = "\n".join([*spoilt, "\udcff", "x" * 200_000 + ' "mark"', whole, whole.replace("1,", "2,", 1)[:-20]])
    (tmp_path / "events.jsonl").write_bytes(data.encode(errors="surrogateescape"))
    assert marks_of(tmp_path) == (MARK,)


def test_a_folder_without_events_has_no_marks(tmp_path: Path) -> None:
    assert marks_of(tmp_path) == ()


@pytest.mark.skipif(os.name == "nt", reason="needs a link")
def test_events_that_lead_out_of_the_folder_are_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(json.dumps(mark_line(MARK, "t")))
    run = tmp_path / "run"
    run.mkdir()
    (run / "events.jsonl").symlink_to(outside)
    with pytest.raises(UsageError):
        marks_of(run)
