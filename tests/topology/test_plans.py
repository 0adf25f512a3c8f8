"""A topology becomes a plan: defaults, paths, variables, and what the command line overrides."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from dtopipe.model.errors import TopologyError
from dtopipe.model.plan import RestartPlan, RunPlan, SinkPlan
from dtopipe.model.policy import Layout, OnExists, Policy
from dtopipe.topology.load import load_plan
from dtopipe.topology.starter import STARTER

ROOT = Path(__file__).parents[2]
ECG = ROOT / "tests" / "data" / "ecg.dt-raw"
SMALL = """\
board: {type: simulated}
task: {rate_hz: 1000, channels: [{name: flux}, {name: code, kind: raw}, {name: i, kind: current, range: [0, 1]}]}
sinks: {table: {type: csv, path: t.csv}}
"""
REPLAY = f"board: {{type: replay, path: '{ECG.as_posix()}'}}\nsinks: {{table: {{type: csv, path: t.csv}}}}\n"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_of(text: str, **options: Any) -> RunPlan:
    Path("heat.yaml").write_text(text, encoding="utf-8")
    return load_plan(Path("heat.yaml"), **options)


def problems_of(text: str, **options: Any) -> list[str]:
    with pytest.raises(TopologyError) as raised:
        plan_of(text, **options)
    return [str(problem) for problem in raised.value.problems]


def test_everything_that_is_not_said_has_its_default(in_folder: Path) -> None:
    plan = plan_of(SMALL)
    assert (plan.name, plan.run_root, plan.duration_s, plan.drain_limit_s) == ("heat", in_folder / "runs", None, 60.0)
    assert (plan.ring.seconds, plan.ring.slots, plan.ring.bytes) == (4.0, None, None)
    assert plan.simulated
    task = plan.board.task
    assert task is not None
    assert (task.name, task.samples_per_block, task.driver_buffers) == ("heat", 250, 4)
    facts = [(c.name, c.kind, c.physical_channel, c.range, c.unit) for c in task.channels]
    assert facts == [
        # The board gives its own units.
        ("flux", "voltage", 0, (-10.0, 10.0), None),
        ("code", "raw", 1, None, None),
        ("i", "current", 2, (0.0, 1.0), None),
    ]
    (sink,) = plan.sinks
    assert (sink.path, sink.policy, sink.layout, sink.on_exists) == ("t.csv", Policy.BLOCK, Layout.WIDE, OnExists.ERROR)
    assert (sink.flush_interval_s, sink.essential, sink.sync_s, sink.stall_limit_s) == (0.5, False, None, None)
    assert (sink.restart, sink.queue_blocks, sink.delay_per_block_s) == (RestartPlan(5, 60.0, 0.25), 64, 0.0)


@pytest.mark.parametrize(("rate", "samples"), [("10000", 2500), ("3", 1), ("0.1", 1), ("360", 90)])
def test_a_block_is_about_a_quarter_of_a_second(rate: str, samples: int) -> None:
    task = plan_of(SMALL.replace("1000", rate)).board.task
    assert task is not None
    assert task.samples_per_block == samples


def test_every_key_of_a_sink_arrives() -> None:
    keys = "policy: drop, layout: long, channels: [i, flux], flush_interval: 2min, essential: true, on_exists: rename, "
    keys += "restart: {max: 1, within: 1h, backoff: 50ms}, stall_limit: 3s, on_stall: stop, sync: every, "
    keys += "queue_blocks: 9, delay_per_block: 5ms, table_blocks: 塊, journal_mode: delete"
    (sink,) = plan_of(SMALL.replace("type: csv, path: t.csv", f"type: sqlite, path: b.db, {keys}")).sinks
    assert (sink.policy, sink.layout, sink.channels) == (Policy.DROP_OLDEST, Layout.LONG, ("i", "flux"))
    assert (sink.flush_interval_s, sink.essential, sink.on_exists) == (120.0, True, OnExists.RENAME)
    assert (sink.restart, sink.stall_limit_s, sink.on_stall) == (RestartPlan(1, 3600.0, 0.05), 3.0, "stop")
    assert (sink.sync_s, sink.queue_blocks, sink.delay_per_block_s) == (0.0, 9, 0.005)
    assert sink.options == {
        "table_readings": "readings", "table_blocks": "塊", "journal_mode": "DELETE", "synchronous": "NORMAL",
        "busy_timeout_ms": 5000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "attribute", "value"),
    [
        ("policy: drop_newest", "policy", Policy.DROP_NEWEST), ("policy: drop_oldest", "policy", Policy.DROP_OLDEST),
        ("sync: none", "sync_s", None), ("sync: 1.5s", "sync_s", 1.5), ("stall_limit: none", "stall_limit_s", None),
        ("flush_interval: 0", "flush_interval_s", 0.0),
    ],
)  # fmt: skip
def test_words_of_a_sink(key: str, attribute: str, value: Any) -> None:
    (sink,) = plan_of(SMALL.replace("path: t.csv", f"path: t.csv, {key}")).sinks
    assert getattr(sink, attribute) == value


@pytest.mark.parametrize(
    ("ring", "plan"),
    [("{seconds: 2}", (2.0, None, None)), ("{seconds: 500ms}", (0.5, None, None)), ("{slots: 64}", (None, 64, None)),
     ("{bytes: 1MiB}", (None, None, 2**20)), ("{bytes: 1.5MB}", (None, None, 1_500_000)),
     ("{bytes: 99999}", (None, None, 99_999))],
)  # fmt: skip
def test_a_ring_is_said_in_seconds_slots_or_bytes(ring: str, plan: tuple[Any, ...]) -> None:
    made = plan_of(SMALL + f"ring: {ring}\n").ring
    assert (made.seconds, made.slots, made.bytes) == plan


def sinks_of(*texts: str) -> list[SinkPlan]:
    sinks = "".join(f"  {name}: {text}\n" for name, text in zip("abcd", texts, strict=False))
    return list(plan_of(SMALL.partition("sinks:")[0] + "sinks:\n" + sinks).sinks)


@pytest.mark.parametrize(
    ("sinks", "journal"),
    [
        (["{type: csv, path: f1}", "{type: hbuf, path: f2}", "{type: hbuf, path: f3}"], "b"),
        (["{type: hbuf, path: f1, journal: false}", "{type: hbuf, path: f2}"], "b"),
        (["{type: hbuf, path: f1}", "{type: hbuf, path: f2, journal: true}"], "b"),
        (["{type: hbuf, path: f1, policy: drop}", "{type: hbuf, path: f2}"], "b"),
        (["{type: hbuf, path: f1, channels: [flux]}", "{type: hbuf, path: f2}"], "b"),
        (["{type: hbuf, path: f1, journal: false}"], None),
        (["{type: csv, path: f1}"], None),
    ],
)
def test_the_journal_is_the_first_hbuf_sink_that_can_be_one(sinks: list[str], journal: str | None) -> None:
    plans = sinks_of(*sinks)
    assert [plan.name for plan in plans if plan.is_journal] == ([] if journal is None else [journal])
    for plan in plans:
        # It is essential, and made durable by itself.
        assert (plan.essential, plan.sync_s) == ((True, 1.0) if plan.is_journal else (False, None))
        assert plan.options.get("journal", False) is plan.is_journal


def test_what_a_journals_sink_says_itself_counts() -> None:
    (plan,) = sinks_of("{type: hbuf, path: f1, essential: false, sync: every}")
    assert (plan.is_journal, plan.essential, plan.sync_s) == (True, False, 0.0)


@pytest.mark.parametrize(
    ("sinks", "problem"),
    [
        (["{type: hbuf, path: f1, journal: true, policy: drop}"], "sinks.a.journal: a journal takes every sample"),
        (["{type: hbuf, path: f1, journal: true, channels: [flux]}"], "this one has some channels only"),
        (["{type: hbuf, path: f1, journal: true}", "{type: hbuf, path: f2, journal: true}"], "sink a is the journal"),
    ],
)
def test_what_cannot_be_the_journal_is_refused(sinks: list[str], problem: str) -> None:
    with pytest.raises(TopologyError, match=problem):
        sinks_of(*sinks)


RETIRING = "{type: hbuf, path: f1, segment: 1GiB, retention: {until: durable}}"


def test_where_a_journal_retires_segments_the_other_block_sinks_are_synced() -> None:
    others = ["{type: csv, path: f2}", "{type: csv, path: f3, sync: every}", "{type: csv, path: f4, policy: drop}"]
    plans = sinks_of(RETIRING, *others)
    assert [(plan.retires, plan.sync_s) for plan in plans] == [(True, 1.0), (False, 1.0), (False, 0.0), (False, None)]
    written_out = sinks_of(RETIRING.replace("{until: durable}", "all"), *others)
    assert [(plan.retires, plan.sync_s) for plan in written_out[:2]] == [(False, 1.0), (False, None)]


def test_a_database_whose_commits_are_durable_needs_no_sync() -> None:
    plans = sinks_of(RETIRING, "{type: postgres, host: localhost, sync: none}")
    assert plans[1].sync_s is None


def test_a_segment_is_a_size() -> None:
    (sink,) = plan_of(SMALL.replace("type: csv, path: t.csv", "type: hbuf, path: a.dt-raw, segment: 1GiB")).sinks
    assert sink.options["segment"] == 2**30


def test_options_of_a_board_and_of_its_channels_arrive() -> None:
    text = SMALL.replace("type: simulated", "type: simulated, waveform: noise, seed: 4, pace: max, max_samples: 10")
    plan = plan_of(text.replace("{name: flux}", "{name: flux, waveform: sine, phase: 1}"))
    assert plan.board.options["seed"] == 4
    assert plan.board.options["pace"] == "max"
    assert plan.board.task is not None
    assert plan.board.task.channels[0].options == {"waveform": "sine", "phase": 1}


def test_names_may_have_any_letters() -> None:
    names = ['say "hi", now', "a\nb", "Füllstand", "温度", "x'; DROP TABLE samples; --", "sinks.table"]
    document = yaml.safe_load(SMALL)
    document["task"]["channels"] = [{"name": name} for name in names]
    document["sinks"] = {"Sénke 1": {"type": "csv", "path": "Ünter/tabelle é.csv", "channels": names[1:3]}}
    plan = plan_of(yaml.safe_dump(document, allow_unicode=True), name="Lauf 温")
    assert plan.board.task is not None
    assert [channel.name for channel in plan.board.task.channels] == names
    assert (plan.name, plan.sinks[0].name, plan.sinks[0].channels) == ("Lauf 温", "Sénke 1", tuple(names[1:3]))


def test_run_dir_is_relative_to_the_current_folder_and_a_recording_to_the_topology(in_folder: Path) -> None:
    (in_folder / "lab").mkdir()
    (in_folder / "lab" / "ecg.dt-raw").write_bytes(ECG.read_bytes())
    file = in_folder / "lab" / "ecg.yaml"
    file.write_text(REPLAY.replace(ECG.as_posix(), "ecg.dt-raw") + "run_dir: data\n")
    plan = load_plan(Path("lab/ecg.yaml"))
    assert plan.run_root == in_folder / "data"
    assert plan.board.options["path"] == str(in_folder / "lab" / "ecg.dt-raw")
    assert load_plan(file, run_dir=Path("other")).run_root == in_folder / "other"
    # The record runs again from the run folder.
    assert plan.document["board"]["path"] == str(in_folder / "lab" / "ecg.dt-raw")


def test_a_tilde_is_the_users_own_folder(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(in_folder))
    monkeypatch.setenv("USERPROFILE", str(in_folder))
    plan = plan_of(SMALL.replace("t.csv", "~/t.csv") + "run_dir: ~/runs\n")
    assert plan.run_root == in_folder / "runs"
    assert plan.sinks[0].path == str(in_folder / "t.csv")


def test_a_replay_brings_its_own_task() -> None:
    assert plan_of(REPLAY).board.task is None
    assert "board.speed: a speed is more than 0" in problems_of(REPLAY.replace("}\nsinks", ", speed: -1}\nsinks"))[0]


def test_simulate_puts_the_simulated_board_under_any_topology() -> None:
    rehearsed = plan_of(REPLAY, simulate=True)
    assert rehearsed.simulated
    assert rehearsed.board.type == "simulated"
    assert rehearsed.board.task is not None
    assert (rehearsed.board.task.rate_hz, len(rehearsed.board.task.channels)) == (360.0, 1)
    driver = SMALL.replace("simulated", "dtollib, unit: 3").replace("{name: flux}", "{name: flux, gain: 4}")
    plan = plan_of(driver, simulate=True)
    assert plan.board.type == "simulated"
    assert plan.board.task is not None
    assert plan.board.task.channels[0].options == {"gain": 4}
    assert plan.document["board"] == {"type": "simulated"}
    again = plan_of(yaml.safe_dump(dict(rehearsed.document)))
    assert again.board.type == "simulated"


def test_simulate_keeps_the_options_of_a_simulated_board() -> None:
    text = SMALL.replace("type: simulated", "type: simulated, waveform: counter")
    assert plan_of(text, simulate=True).board.options["waveform"] == "counter"


def test_variables_are_resolved_for_use_and_kept_for_the_record() -> None:
    text = SMALL.replace("1000", "'${RATE:-500}'").replace("t.csv", "'${WHO}-${WHO}.csv'")
    text += "metadata:\n  op: dr ${WHO}\n"
    plan = plan_of(text, environ={"WHO": "kim"})
    assert plan.board.task is not None
    assert plan.board.task.rate_hz == 500
    assert plan.sinks[0].path == "kim-kim.csv"
    assert plan.metadata == {"op": "dr kim"}
    assert plan.document["metadata"] == {"op": "dr ${WHO}"}
    assert "kim" not in json.dumps(dict(plan.document))
    assert plan_of(text, environ={"WHO": "kim", "RATE": "2e3"}).board.task.rate_hz == 2000  # type: ignore[union-attr]


def test_an_empty_variable_is_set_and_one_that_is_not_needs_a_default() -> None:
    text = SMALL + "metadata: {op: '${WHO}'}\n"
    assert plan_of(text, environ={"WHO": ""}).metadata == {"op": ""}
    assert problems_of(text, environ={})[0].startswith("heat.yaml:4:12: metadata.op: the environment has no WHO")


def test_metadata_that_is_null_must_be_given_to_run_and_may_be_missing_to_look() -> None:
    text = SMALL + "metadata: {sample: null, rig: 3}\n"
    (problem,) = problems_of(text)
    assert problem == "heat.yaml:4:12: metadata.sample: must be given for each run\n    add --meta sample=..."
    assert plan_of(text, meta=["sample=A=7"]).metadata == {"sample": "A=7", "rig": 3}
    assert plan_of(text, rehearsal=True).metadata == {"sample": None, "rig": 3}


def test_meta_adds_keys_of_any_form() -> None:
    plan = plan_of(SMALL, meta=["a.b=1", "note=x y", "note=later"])
    assert plan.metadata == {"a.b": "1", "note": "later"}
    assert plan.document["metadata"] == {"a.b": "1", "note": "later"}


def test_the_command_line_wins_and_stands_in_the_record() -> None:
    plan = plan_of(SMALL + "name: x\nduration: 5s\n", name="y", duration="2min", sets=["task.rate_hz=50"])
    assert (plan.name, plan.duration_s) == ("y", 120.0)
    assert (plan.document["name"], plan.document["duration"]) == ("y", "2min")
    assert plan.document["task"]["rate_hz"] == 50


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("ring.slots=7", lambda plan: plan.ring.slots == 7),
        ("ring={bytes: 1MiB}", lambda plan: plan.ring.bytes == 2**20),
        ("task.channels[1].name=zz", lambda plan: plan.board.task.channels[1].name == "zz"),
        ("task.channels.0.unit=kPa", lambda plan: plan.board.task.channels[0].unit == "kPa"),
        ("task.channels=[{name: only}]", lambda plan: len(plan.board.task.channels) == 1),
        ("sinks.table.policy=drop", lambda plan: plan.sinks[0].policy is Policy.DROP_OLDEST),
        ("sinks.raw={type: hbuf, path: r.dt-raw}", lambda plan: [s.name for s in plan.sinks] == ["table", "raw"]),
        ("sinks.table.path=a=b.csv", lambda plan: plan.sinks[0].path == "a=b.csv"),
        ("metadata.rig=no", lambda plan: plan.metadata == {"rig": "no"}),
        ("duration=", lambda plan: plan.duration_s is None),
    ],
)
def test_set_overrides_any_key(key: str, found: Any) -> None:
    assert found(plan_of(SMALL + "ring:\n" if key.startswith("ring.") else SMALL, sets=[key]))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("task.rate_hz", "--set task.rate_hz: has no value\n    write --set a.b=value"),
        ("=5", "--set : there is no key before the =\n    write a key path"),
        ("sinks.table.polcy=drop", "--set sinks.table.polcy: sinks.table.polcy: unknown key\n    did you mean policy?"),
        ("snks.table.path=x", "--set snks.table.path: snks: unknown key\n    did you mean sinks?"),
        ("task.rate_hz=[1", "--set task.rate_hz: not a value: '[1'\n    put it in quotes"),
        ("task.rate_hz=fast", "--set task.rate_hz: task.rate_hz: must be a number, not 'fast'"),
        ("board.type.x=1", "--set board.type.x: board.type.x: board.type is 'simulated', without keys of its own"),
        ("task.channels[7].name=x", "--set task.channels[7].name: task.channels[7].name: task.channels has 3 items"),
        ("task.channels.x.name=x", "--set task.channels.x.name: task.channels.x.name: task.channels has 3 items"),
        ("task.channels=[{name: a}, {name: a}]", "--set task.channels: task.channels[1].name: two channels are named"),
    ],
)
def test_a_mistake_in_set_names_the_option(text: str, problem: str) -> None:
    assert problems_of(SMALL, sets=[text])[0].startswith(problem)


def test_mistakes_in_options_are_told_with_those_of_the_file() -> None:
    found = problems_of(SMALL.replace("1000", "0"), sets=["rng=3", "x"], meta=["sample"], duration="60", name="a/b")
    assert [problem.partition(":")[0] for problem in found] == [
        "--duration", "--meta sample", "--name", "--set rng", "--set x", "heat.yaml",
    ]  # fmt: skip


@pytest.mark.parametrize("file", sorted((ROOT / "topologies").glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_is_right(file: Path) -> None:
    plan = load_plan(file, environ={})
    assert plan.name == file.stem
    assert {sink.path for sink in plan.sinks}


def test_the_starter_is_right_and_asks_for_nothing() -> None:
    assert plan_of(STARTER, environ={}).metadata == {"operator": "unknown"}
    assert plan_of(STARTER, environ={"USER": "kim"}).metadata == {"operator": "kim"}
    assert plan_of(STARTER).duration_s == 10.0


def test_the_environment_of_the_command_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DTOPIPE_TEST_NAME", "from-here")
    assert plan_of(SMALL + "name: ${DTOPIPE_TEST_NAME}\n").name == "from-here"
