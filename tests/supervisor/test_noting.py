"""What is noted of a run: from its first sample to its last, and counted for the sinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from parts import BLOCK, Bench, journal, sink

from dtopipe.host.clock import mono_ns
from dtopipe.host.run_readings import INSTRUMENTS_FILE, readings_of
from dtopipe.shm.layout import Head
from dtopipe.supervisor import marking
from dtopipe.supervisor.progress import Phase
from dtopipe.wire.commands import (
    ChangeMetadata,
    Marked,
    MetadataChanged,
    NoteReading,
    ReadingNoted,
    Refused,
    SetMark,
    StopRun,
)

Make = Callable[..., Bench]


def _ask(bench: Bench, question: Any) -> Any:
    """As a command does."""
    bench.says("command", question)
    return bench.sent.to("command")[-1]


def _reading(**values: float) -> NoteReading:
    return NoteReading("balance", values, {}, mono_ns())


def test_nothing_is_noted_before_the_first_sample_and_behind_the_last(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table"))
    bench.start()
    for question in (SetMark("early"), _reading(mass=1.0)):
        refused = _ask(bench, question)
        assert isinstance(refused, Refused)
        assert (refused.message, refused.is_over) == ("the run has not taken a sample yet", False)
    bench = a_bench()
    bench.run()
    bench.publish(3)
    assert isinstance(_ask(bench, SetMark("in time")), Marked)
    assert isinstance(_ask(bench, _reading(mass=1.0)), ReadingNoted)
    bench.drain.end_stream()
    bench.turn()
    for question in (SetMark("late"), SetMark("late", sample_index=0), _reading(mass=1.0)):
        refused = _ask(bench, question)
        assert isinstance(refused, Refused)
        assert refused.is_over
        assert refused.remedy


def test_while_the_board_is_being_stopped_it_takes_samples_still(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    _ask(bench, StopRun())
    bench.drain.begin(bench.stops[0][0])
    assert bench.phase() is Phase.DRAINING
    assert isinstance(_ask(bench, SetMark("in time")), Marked)


def test_the_sinks_are_told_how_much_there_is_and_when_that_is_all(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    ring = bench.memory.ring
    assert ring is not None
    assert (ring.words[Head.NOTED], ring.words[Head.NOTES_ENDED]) == (0, 0)
    _ask(bench, SetMark("one"))
    _ask(bench, _reading(mass=1.0))
    bench.turn()
    assert (ring.words[Head.NOTED], ring.words[Head.NOTES_ENDED]) == (2, 0)
    bench.drain.end_stream()
    bench.turn()
    assert (ring.words[Head.NOTED], ring.words[Head.NOTES_ENDED]) == (2, 1)


def test_a_board_that_waits_for_us_is_marked_at_its_newest_sample(a_bench: Make) -> None:
    bench = a_bench(clocked=False)
    bench.run()
    bench.publish(3)
    answer = _ask(bench, SetMark("now"))
    assert answer.mark.sample_index == 3 * BLOCK - 1
    answer = _ask(bench, SetMark("before", before_s=0.1))
    assert answer.mark.sample_index == 2 * BLOCK - 1


def test_marks_are_numbered_and_bounded(a_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "MOST_MARKS", 3)
    bench = a_bench()
    bench.run()
    bench.publish(1)
    marks = [_ask(bench, SetMark("x", user="a\x1bda", host="lab")).mark for _ in range(3)]
    assert [mark.number for mark in marks] == [1, 2, 3]
    assert marks[0].by == "ada@lab"
    refused = _ask(bench, SetMark("x"))
    assert isinstance(refused, Refused)
    assert "3 marks already" in refused.message
    snapshot = bench.status.snapshot()
    assert snapshot["marks"]["count"] == 3
    assert snapshot["marks"]["newest"][-1] == marks[-1].to_json()


def test_a_time_that_cannot_be_when_something_was_said_is_now(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    for said_ns in (0, -5, 2**62):
        before_ns = bench.progress.times.utc_ns()
        mark = _ask(bench, SetMark("x", said_ns=said_ns)).mark
        assert abs(mark.t_utc_ns - before_ns) < 2_000_000_000


def test_readings_are_in_the_folder_and_no_file_is_made_without_them(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    assert not (bench.folder.path / INSTRUMENTS_FILE).exists()
    assert isinstance(_ask(bench, _reading(Mass=2.0)), ReadingNoted)
    refused = _ask(bench, _reading(mass=1.0))
    assert isinstance(refused, Refused)
    assert "capitals" in refused.message
    refused = _ask(bench, _reading(t_mono_ns=1.0))
    assert isinstance(refused, Refused)
    assert _ask(bench, _reading(Mass=3.0)).number == 2
    assert [dict(each.values) for each in readings_of(bench.folder.path)] == [{"Mass": 2.0}, {"Mass": 3.0}]


def test_changed_metadata_are_in_the_record_before_the_answer(a_bench: Make) -> None:
    bench = a_bench(metadata={"sample": "A7"})
    bench.run()
    answer = _ask(bench, ChangeMetadata({"sample": "A8", "note": "x"}, "ada", "lab"))
    assert isinstance(answer, MetadataChanged)
    record = bench.folder.read_record()
    assert record["metadata"] == {"sample": "A8", "note": "x"} == answer.metadata
    assert record["stream"]["metadata"]["sample"] == "A8"
    assert [(each["key"], each.get("was"), each["by"]) for each in record["metadata_changes"]] == [
        ("sample", "A7", "ada@lab"), ("note", None, "ada@lab"),
    ]  # fmt: skip
    assert isinstance(_ask(bench, ChangeMetadata({"\n": "x"})), Refused)
    assert bench.folder.read_record()["metadata"] == record["metadata"]
