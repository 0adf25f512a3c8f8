"""Sinks that come and go while the run goes on."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from laboratory import counter_codes, counter_topology, read_wide

from dtopipe.topology.load import load_plan

RAW = {"type": "hbuf", "path": "raw.dt-raw"}


def _topology(*, journal: bool = True, **ring: Any) -> dict[str, Any]:
    """A board that runs until it is stopped, into one raw file."""
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"ring": ring or {"seconds": 1}}
    return topology | {"sinks": {"raw": RAW | {"journal": journal}}}


def _assert_is_the_formula(record: dict[str, Any], name: str, path: Path) -> None:
    """Every sample from its start to its stop, once, in order."""
    told = record["sinks"][name]
    assert told["gaps"] == 0, told
    assert told["start"] + told["samples"] == told["stop"]
    index, values = read_wide(path)
    assert np.array_equal(index, np.arange(told["start"], told["stop"]))
    assert np.array_equal(values, counter_codes(2, told["start"], told["stop"]))


def _attach(lab: Any, *words: str) -> Any:
    attached = lab.dtopipe("attach", *words, "--json")
    assert attached.code == 0, attached.stderr
    return attached.json


@pytest.mark.parametrize("journal", [True, False])
def test_sinks_that_are_attached_start_where_they_were_asked_to_and_are_whole(lab: Any, journal: bool) -> None:
    # Without a journal whoever begins with the oldest block has so long to start.
    running = lab.start(_topology(journal=journal) if journal else _topology(journal=False, seconds=4))
    running.wait_for_samples("raw", 4000 if journal else 10_000)
    told = _attach(lab, "--sink", "csv", "--path", str(lab.folder / "look.csv"), "-o", "layout=wide")
    assert told["csv"]["start"] >= 4000
    told = _attach(lab, "lab", "--sink", "jsonl", "--from", "earliest", "--name", "lines")
    # The ring had the last 8000.
    assert told["lines"]["start"] == 0 if journal else told["lines"]["start"] >= 2000
    if journal:
        assert _attach(lab, "--sink", "sqlite", "--from", "777")["sqlite"]["start"] == 777
    assert _attach(lab, "--sink", "parquet", "--policy", "drop")["parquet"]["start"] >= 4000
    running.wait_for_samples("lines", 6000)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    record = ended.json
    assert record["acquired"]["overrun_samples"] == 0
    _assert_is_the_formula(record, "csv", lab.folder / "look.csv")
    for name, sink in record["sinks"].items():
        assert sink["stop"] == record["acquired"]["end_sample_index"]
        _assert_is_the_formula(record, name, lab.run_folder / sink["path"])
    # One of them is not in the run folder.
    assert lab.dtopipe("verify", "lab").code == 4
    assert lab.dtopipe("verify", "lab", "--outside").code == 0
    # The topology as it ran, attached sinks included, runs again.
    as_it_ran = load_plan(lab.run_folder / "topology.yaml", sets=["sinks.csv.path=again.csv"])
    assert [sink.name for sink in as_it_ran.sinks] == list(record["sinks"])


def test_a_file_of_sinks_is_attached_with_variables_of_the_caller(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("raw", 500)
    monkeypatch.setenv("MY_PLACE", str(lab.folder / "mine.csv"))
    sinks = {"mine": {"type": "csv", "path": "${MY_PLACE}"}, "copy": {"type": "hbuf", "path": "copy.dt-raw"}}
    file = lab.write({"sinks": sinks}, "more.yaml")
    told = _attach(lab, "lab", str(file), "--from", "100")
    assert {name: facts["start"] for name, facts in told.items()} == {"mine": 100, "copy": 100}
    running.wait_for_samples("mine", 1000)
    running.interrupt()
    record = running.finish().json
    _assert_is_the_formula(record, "mine", lab.folder / "mine.csv")
    _assert_is_the_formula(record, "copy", lab.run_folder / "copy.dt-raw")
    written = yaml.safe_load((lab.run_folder / "topology.yaml").read_text(encoding="utf-8"))
    assert written["sinks"]["mine"]["path"] == "${MY_PLACE}"
    # The copy is no journal: that one is there from the first sample on.
    assert written["sinks"]["copy"]["journal"] is False


def test_what_cannot_be_attached_is_refused_and_the_run_goes_on_as_it_was(lab: Any) -> None:
    running = lab.start(_topology(journal=False, slots=100))
    # The ring of 100 blocks has been round.
    running.wait_for_samples("raw", 3000)
    taken = lab.folder / "taken.csv"
    taken.write_text("mine")
    cases = {
        ("--sink", "csv", "--name", "raw"): "the run has a sink of this name already",
        ("--sink", "csv", "--path", str(running.folder / "raw.dt-raw")): "exists already",
        ("--sink", "csv", "--path", str(taken)): "exists already",
        ("--sink", "csv", "--from", "3"): "the oldest that is available is",
        ("--sink", "csv", "--from", "999999999"): "is not there yet",
        ("--sink", "csv", "--from", "tomorrow"): "no place to start from",
        ("--sink", "cvs"): "did you mean csv",
        ("--sink", "hbuf", "-o", "journal=true"): "a journal cannot come later than the run",
        ("--sink", "csv", "-o", "channels=[nothing]"): "nothing",
        (): "say what to attach",
        ("nowhere.yaml",): "nowhere.yaml",
        ("no-such-run", "--sink", "csv"): "there is no run",
    }
    for words, said in cases.items():
        refused = lab.dtopipe("attach", *words)
        assert refused.code == 2, words
        assert said in refused.stderr, (words, refused.stderr)
    # All of them at once.
    several = {
        "raw": {"type": "csv", "path": "more.csv"}, "no": {"type": "csvv", "path": "no.csv"},
        "same": {"type": "csv", "path": "more.csv"}, "two": {"type": "csv", "pth": "x"},
    }  # fmt: skip
    refused = lab.dtopipe("attach", str(lab.write({"sinks": several}, "several.yaml")))
    assert refused.code == 2
    for said in ("the run has a sink of this name already", "did you mean csv?", "did you mean path?", "sinks.same"):
        assert said in refused.stderr, refused.stderr
    # Its process finds that out by itself.
    refused = lab.dtopipe("attach", "--sink", "csv", "--path", "/proc/look.csv")
    assert refused.code != 0
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert list(ended.json["sinks"]) == ["raw"]
    assert taken.read_text() == "mine"


def test_an_attached_sink_is_restarted_behind_its_last_commit(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("raw", 1000)
    _attach(lab, "--sink", "csv", "--from", "500", "-o", "flush_interval=50ms")
    running.wait_for_samples("csv", 2000)
    running.kill("csv")
    running.wait_until("ready", "csv", times=2)
    running.interrupt()
    record = running.finish().json
    assert record["sinks"]["csv"]["restarts"] == 1
    _assert_is_the_formula(record, "csv", lab.run_folder / "csv.csv")


@pytest.mark.parametrize("policy", ["block", "drop", "drop_newest"])
def test_a_detached_sink_is_whole_up_to_there_and_can_be_completed(lab: Any, policy: str) -> None:
    topology = _topology()
    topology["sinks"]["view"] = {"type": "csv", "path": "view.csv", "policy": policy}
    running = lab.start(topology)
    running.wait_for_samples("view", 1000)
    detached = lab.dtopipe("detach", "view", "--json")
    assert detached.code == 0, detached.stderr
    assert detached.json["state"] == "detached"
    again = lab.dtopipe("detach", "view")
    assert again.code == 2
    assert "detached already" in again.stderr
    running.wait_for_samples("raw", detached.json["committed"] + 2000)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    record = ended.json
    assert record["sinks"]["view"]["state"] == "detached"
    assert record["sinks"]["view"]["stop"] == detached.json["committed"]
    _assert_is_the_formula(record, "view", lab.run_folder / "view.csv")
    assert lab.dtopipe("verify", "lab").code == 0
    # A repair leaves it as it is, unless it is named.
    assert lab.dtopipe("repair", "lab").code == 0
    assert json.loads((lab.run_folder / "run.json").read_text())["sinks"]["view"]["state"] == "detached"
    assert lab.dtopipe("repair", "lab", "--sink", "view").code == 0
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert record["sinks"]["view"]["stop"] == record["acquired"]["end_sample_index"]
    _assert_is_the_formula(record, "view", lab.run_folder / "view.csv")
    assert lab.dtopipe("verify", "lab").code == 0


def test_places_in_the_ring_are_used_again(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("raw", 500)
    rows = set()
    for number in range(3):
        _attach(lab, "--sink", "csv", "--name", f"view{number}")
        rows.add(lab.dtopipe("status", "--json").json["sinks"][f"view{number}"]["row"])
        assert lab.dtopipe("detach", f"view{number}").code == 0
        lab.wait_for(
            lambda name=f"view{number}": lab.dtopipe("status", "--json").json["sinks"][name]["row"] is None, "free row"
        )
    assert len(rows) == 1
    running.interrupt()
    record = running.finish().json
    for number in range(3):
        _assert_is_the_formula(record, f"view{number}", lab.run_folder / f"view{number}.csv")


def test_without_the_journal_that_was_detached_the_others_go_on(lab: Any) -> None:
    topology = _topology()
    topology["sinks"]["table"] = {"type": "csv", "path": "table.csv"}
    running = lab.start(topology)
    running.wait_for_samples("table", 1000)
    assert lab.dtopipe("detach", "raw").code == 0
    running.wait_for_samples("table", 5000)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    for name in ("raw", "table"):
        _assert_is_the_formula(ended.json, name, lab.run_folder / ended.json["sinks"][name]["path"])


def test_a_sink_that_cannot_end_when_it_is_detached_is_cut_off(lab: Any) -> None:
    topology = _topology() | {"drain_limit": "1s"}
    topology["sinks"]["table"] = {"type": "csv", "path": "table.csv"}
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    running.pause("table")
    cut_off = lab.dtopipe("detach", "table", "--json")
    assert cut_off.code == 1
    assert cut_off.json["state"] == "cut_off"
    assert "when it was detached" in cut_off.json["failure"]
    running.interrupt()
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    told = ended.json["sinks"]["table"]
    assert told["start"] + told["samples"] + told["gaps"] == told["stop"]


def test_a_run_that_is_killed_knows_what_was_attached_and_what_was_detached(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("raw", 1000)
    _attach(lab, "--sink", "csv", "--from", "300", "-o", "flush_interval=50ms")
    _attach(lab, "--sink", "jsonl")
    running.wait_for_samples("csv", 1500)
    assert lab.dtopipe("detach", "jsonl").code == 0
    processes = lab.processes()
    running.kill_supervisor()
    for process in processes:
        # Without a supervisor they end by themselves, too.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    lab.wait_for_the_end_of_all()
    lab.recover_killed()
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert record["verdict"]["state"] == "INTERRUPTED"
    assert record["sinks"]["jsonl"]["state"] == "detached"
    assert record["sinks"]["csv"]["start"] == 300
    assert lab.dtopipe("repair", "lab").code == 0
    record = json.loads((lab.run_folder / "run.json").read_text())
    for name in ("csv", "jsonl"):
        _assert_is_the_formula(record, name, lab.run_folder / record["sinks"][name]["path"])
    assert lab.dtopipe("verify", "lab").code == 0


def test_a_journal_that_retires_keeps_what_an_attached_sink_lacks_and_waits_for_no_detached_one(lab: Any) -> None:
    topology = _topology()
    topology["sinks"]["raw"] |= {"segment": "4kB", "retention": {"until": "durable"}, "flush_interval": "50ms"}
    topology["sinks"]["table"] = {"type": "csv", "path": "table.csv", "sync": "50ms", "flush_interval": "50ms"}
    running = lab.start(topology)
    running.wait_for_samples("raw", 1000)

    def retained_from() -> int:
        return int(lab.dtopipe("status", "--json").json["sinks"]["raw"]["retained_from"])

    lab.wait_for(lambda: retained_from() > 1000, "retention")
    refused = lab.dtopipe("attach", "--sink", "csv", "--from", "0")
    assert refused.code == 2
    assert "sample 0 is gone" in refused.stderr
    refused = lab.dtopipe("attach", "--sink", "csv", "-o", "sync=none")
    assert refused.code == 2
    assert "sync" in refused.stderr
    told = _attach(lab, "--sink", "jsonl", "--from", "earliest", "-o", "flush_interval=50ms", "-o", "sync=50ms")
    assert told["jsonl"]["start"] >= 1000
    running.wait_for_samples("jsonl", told["jsonl"]["start"] + 1000)
    assert lab.dtopipe("detach", "table").code == 0
    at = running.committed("raw")
    lab.wait_for(lambda: retained_from() > at + 1000, "retention without the detached sink")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    for name in ("table", "jsonl"):
        _assert_is_the_formula(ended.json, name, lab.run_folder / ended.json["sinks"][name]["path"])
    assert lab.dtopipe("verify", "lab").code == 0
