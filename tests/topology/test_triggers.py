"""Triggers in a topology: what they become, and each mistake by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtopipe.model.errors import TopologyError
from dtopipe.model.plan import RunPlan, TriggerPlan
from dtopipe.topology.load import load_plan
from dtopipe.wire.plans import describe_sink, sink_from

BOARD = "board: {type: simulated}\ntask: {rate_hz: 1000, samples_per_block: 100, channels: [{name: a}, {name: tc1}]}\n"
JOURNAL = "  j: {type: hbuf, path: j.dt-raw}\n"


def plan_of(tmp_path: Path, sinks: str, board: str = BOARD) -> RunPlan:
    file = tmp_path / "t.yaml"
    file.write_text(f"{board}sinks:\n{sinks}")
    return load_plan(file, environ={}, rehearsal=True)


def problems(tmp_path: Path, sinks: str, board: str = BOARD) -> list[str]:
    with pytest.raises(TopologyError) as raised:
        plan_of(tmp_path, sinks, board)
    return [str(problem).removeprefix(f"{tmp_path / 't.yaml'}:") for problem in raised.value.problems]


def test_a_trigger_is_a_condition_and_two_times(tmp_path: Path) -> None:
    text = '  s: {type: csv, path: s.csv, channels: [a], when: "tc1 > 60 for 1s", pre: 30s, post: 500ms}\n'
    sink, journal = plan_of(tmp_path, text + JOURNAL).sinks
    assert sink.trigger == TriggerPlan("tc1 > 60 for 1s", 30.0, 0.5)
    assert not sink.has_all_samples
    assert journal.has_all_samples
    assert sink_from(describe_sink(sink)) == sink


def test_a_triggered_archive_is_no_journal(tmp_path: Path) -> None:
    text = '  s: {type: hbuf, path: s.dt-raw, when: "tc1 > 60"}\n'
    assert [sink.is_journal for sink in plan_of(tmp_path, text + JOURNAL).sinks] == [False, True]
    assert not plan_of(tmp_path, text).sinks[0].is_journal
    (said,) = problems(tmp_path, text.replace("}", ", journal: true}"))
    assert "sinks.s.journal: a journal takes every sample, and this one waits for its trigger" in said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('when: "tc2 > 1"', "4:27: sinks.s.when: there is no channel 'tc2'\n    did you mean tc1?"),
        ("when: tc1", "sinks.s.when: compares nothing: 'tc1'\n    such as when: \"tc1 > 60 for 1s\""),
        ("when: tc1 > 1 for", "sinks.s.when: does not say for how long"),
        ("when: tc1 > 1 for 3", "sinks.s.when: a time needs a unit (ms, s, min or h), such as 3s"),
        ("when: tc1 > 1 for -3s", "sinks.s.when: cannot hold for -3s"),
        ("when: sine(tc1) > 1", "sinks.s.when: there is no function 'sine'\n    did you mean sin?"),
        ("when: 3, pre: 1s", "sinks.s.when: must be text, not 3"),
        ("when: ''", "sinks.s.when: must not be empty"),
        ("pre: 1s", "4:27: sinks.s.pre: belongs to a trigger, and this sink has none: add when: "),
        ("post: 1s", "4:27: sinks.s.post: belongs to a trigger, and this sink has none"),
        ("when: tc1 > 1, pre: -1s", "sinks.s.pre: a time needs a unit"),
        ("when: tc1 > 1, pre: 100h", "sinks.s.pre: 360000s before an event are 1.3 GiB that would wait in memory"),
        ("when: tc1 > 1 for 1s, pre: 1s, post: 2s", "sinks.s.post: without a journal what it looks back on (pre 1s + "),
    ],
)
def test_each_mistake_has_its_place_and_its_remedy(tmp_path: Path, keys: str, said: str) -> None:
    (found,) = problems(tmp_path, f"  s: {{type: csv, path: s, {keys}}}\n")
    assert said in found
    assert "\n    " in found


def test_readings_are_not_triggered(tmp_path: Path) -> None:
    polled = BOARD.replace("samples_per_block: 100", "mode: polled").replace("1000", "10")
    (said,) = problems(tmp_path, "  s: {type: csv, path: s.csv, when: tc1 > 1}\n", polled)
    assert "sinks.s.when: readings are not written around events yet" in said


def test_with_a_journal_a_trigger_may_look_back_further_than_the_ring(tmp_path: Path) -> None:
    text = "  s: {type: csv, path: s.csv, when: tc1 > 1 for 1min, pre: 1h, post: 1h}\n"
    assert len(plan_of(tmp_path, text + JOURNAL).sinks) == 2
    long = BOARD.replace("board:", "ring: {seconds: 9}\nboard:")
    assert plan_of(tmp_path, "  s: {type: csv, path: s, when: tc1 > 1, pre: 1s, post: 2s}\n", long).sinks


def test_what_goes_with_a_journal_s_segments_must_be_somewhere_whole(tmp_path: Path) -> None:
    text = "  s: {type: csv, path: s.csv, when: tc1 > 1}\n"
    journal = "  j: {type: hbuf, path: j.dt-raw, segment: 1GiB, retention: {until: durable}}\n"
    (said,) = problems(tmp_path, text + journal)
    assert "sinks.j.retention: no other BLOCK sink would hold what goes" in said
