"""The commands that look at runs, and the run folder that they look at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide

DATA = Path(__file__).parents[1] / "data"


def _short(n_samples: int = 1000, **extra: Any) -> dict[str, Any]:
    return counter_topology(2, 50, pace="max", max_samples=n_samples) | {"sinks": EVERY_SINK} | extra


def test_the_run_folder_has_every_file_and_the_record_every_key(lab: Any) -> None:
    topology = counter_topology(2, 20, rate_hz=1000.0, kind="voltage") | {"duration": "4s", "sinks": EVERY_SINK}
    record = lab.up(topology, "--meta", "sample=A7").json
    folder = lab.run_folder
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "topology.yaml", "gaps.jsonl", "events.jsonl", "clock.jsonl", "logs",
        *(sink["path"] for sink in EVERY_SINK.values()),
        *(sink["path"] + ".dtopipe" for sink in EVERY_SINK.values()),
    }  # fmt: skip
    assert {path.name for path in (folder / "logs").iterdir()} == {
        f"{process}.log" for process in ("supervisor", "acquirer", *EVERY_SINK)
    }
    assert json.loads((folder / "run.json").read_text()) == record
    assert {"run_id", "name", "versions", "host", "started_at", "finished_at", "metadata", "topology", "clock",
            "acquired", "channels", "sinks", "verdict"} <= record.keys()  # fmt: skip
    assert record["metadata"] == {"sample": "A7"}
    assert record["clock"]["rate_nominal_hz"] == 1000.0
    assert record["clock"]["rate_measured_hz"] == pytest.approx(1000.0, rel=0.05)
    assert record["clock"]["jitter_ms"] >= 0
    codes = counter_codes(2, 0, 4000) * (20 / 65536)
    for number, name in enumerate(("ch0", "ch1")):
        facts = record["channels"][name]
        assert (facts["min"], facts["max"]) == (codes[number].min(), codes[number].max())
        assert facts["not_ok_samples"] == 0
        rails = np.isin(counter_codes(2, 0, 4000)[number], (-32768, 32767)).sum()
        assert facts["at_rail_samples"] == rails
    for sink in record["sinks"].values():
        assert {"type", "policy", "path", "state", "start", "stop", "committed", "durable", "samples", "gaps",
                "dropped", "restarts"} <= sink.keys()  # fmt: skip
    assert (folder.parent / "latest").read_text().strip() == folder.name
    pairs = [json.loads(line) for line in (folder / "clock.jsonl").read_text().splitlines()]
    assert len(pairs) >= 3
    assert all(one["sample_index"] < two["sample_index"] for one, two in pairwise(pairs))
    # Whatever the machine was busy with: the rate is the slope of the line through these pairs.
    elapsed_s = [(pair["t_mono_ns"] - pairs[0]["t_mono_ns"]) / 1e9 for pair in pairs]
    slope = np.polyfit(elapsed_s, [pair["sample_index"] for pair in pairs], 1)[0]
    assert record["clock"]["rate_measured_hz"] == pytest.approx(slope, rel=1e-6)


def test_the_recorded_topology_runs_again_from_the_run_folder(lab: Any) -> None:
    topology = {
        "name": "ecg",
        "board": {"type": "replay", "path": "ecg.dt-raw", "speed": "max"},
        "sinks": {"table": {"type": "csv", "path": "ecg.csv"}},
    }
    shutil.copy(DATA / "ecg.dt-raw", lab.folder)
    assert lab.up(topology).code == 0
    first = lab.run_folder
    again = lab.dtopipe("up", str(first / "topology.yaml"), "--json")
    assert again.code == 0, again.stderr
    assert again.json["name"] == "ecg"
    assert len(lab.run_folders()) == 2
    assert np.array_equal(read_wide(lab.run_folder / "ecg.csv")[1], read_wide(first / "ecg.csv")[1])


def test_variables_are_used_and_never_recorded(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SECRET", "hunter2")
    topology = _short(100) | {"metadata": {"note": "${LAB_SECRET}"}}
    topology["sinks"] = {"table": {"type": "csv", "path": "${LAB_FILE:-fallback}.csv"}}
    assert lab.up(topology).code == 0
    assert (lab.run_folder / "fallback.csv").exists()
    assert yaml.safe_load((lab.run_folder / "topology.yaml").read_text())["metadata"] == {"note": "${LAB_SECRET}"}


def test_status_and_stop_speak_with_the_run_in_progress(lab: Any) -> None:
    running = lab.start(counter_topology(2, 20, rate_hz=1000.0) | {"sinks": EVERY_SINK})
    running.wait_until("running")
    running.wait_for_samples("base", 100)
    status = lab.dtopipe("status", "--json").json
    assert status["phase"] == "running"
    assert status["simulated"] is True
    assert set(status["sinks"]) == set(EVERY_SINK)
    listed = lab.dtopipe("runs", "--json").json
    assert [run["in_progress"] for run in listed] == [True]
    refused = lab.dtopipe("verify", "lab")
    assert refused.code == 2
    assert "in progress" in refused.stderr
    stopped = lab.dtopipe("stop", "lab", "--json")
    assert stopped.code == 0, stopped.stderr
    assert stopped.json["verdict"]["state"] == "GOOD"
    assert running.finish().code == 0
    assert lab.dtopipe("status", "lab/latest").code == 0
    nothing = lab.dtopipe("stop")
    assert nothing.code == 2
    assert "no run is in progress" in nothing.stderr


def test_a_detached_run_goes_on_without_its_terminal(lab: Any) -> None:
    # Longer than until its next line of progress, which finds nobody.
    path = lab.write(counter_topology(2, 20, rate_hz=1000.0) | {"duration": "11s", "sinks": EVERY_SINK})
    started = lab.dtopipe("up", str(path), "--detach", "--json")
    assert started.code == 0, started.stderr
    assert Path(started.json["folder"]) == lab.run_folder
    assert lab.dtopipe("status", "--json").json["phase"] == "running"
    lab.wait_for(lambda: json.loads((lab.run_folder / "run.json").read_text())["verdict"], "verdict")
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert (record["verdict"]["state"], record["acquired"]["samples"]) == ("GOOD", 11_000)


def test_detach_shows_why_a_run_could_not_start(lab: Any) -> None:
    path = lab.write(_short() | {"sinks": {"table": {"type": "cvs", "path": "a.csv"}}})
    refused = lab.dtopipe("up", str(path), "--detach")
    assert refused.code == 2
    assert "did you mean csv?" in refused.stderr


def test_convert_writes_what_the_run_itself_would_have_written(lab: Any) -> None:
    topology = counter_topology(3, 50, kind="voltage", pace="max", max_samples=2000)
    topology["task"]["channels"][2]["kind"] = "raw"
    topology["board"]["overruns"] = [{"at": 525, "samples": 100}]
    topology["board"]["sensor_faults"] = [{"channel": "ch1", "at": 100, "samples": 200, "status": "open"}]
    topology["sinks"] = EVERY_SINK
    assert lab.up(topology).code == 3
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert "; ch1 open for 0.2 s" in record["verdict"]["text"]
    assert record["channels"]["ch1"]["open_samples"] == record["channels"]["ch1"]["not_ok_samples"] == 200
    for sink in EVERY_SINK.values():
        own = lab.run_folder / sink["path"]
        converted = lab.folder / f"converted{own.suffix}"
        words = ["convert", "lab/latest", "--to", sink["type"], "--path", str(converted), "--json"]
        done = lab.dtopipe(*words)
        assert done.code == 0, done.stderr
        assert (done.json["samples"], done.json["gap_samples"]) == (1900, 100)
        if sink["type"] in ("csv", "jsonl"):
            assert converted.read_bytes() == own.read_bytes()
        index, values = read_wide(converted)
        expected_index, expected = read_wide(own)
        assert np.array_equal(index, expected_index)
        assert np.array_equal(values, expected, equal_nan=True)
    assert lab.dtopipe(*words).code == 1


def test_verify_finds_a_changed_value_a_lost_row_and_a_doubled_one(lab: Any) -> None:
    assert lab.up(_short(1000)).code == 0
    table = lab.run_folder / "table.csv"
    lines = table.read_text().splitlines(keepends=True)
    changed = lines.copy()
    changed[11] = changed[11].replace(",-32758,", ",-32759,")  # sample 10
    for change, words in (
        (changed, "differ from raw: [10, 11)"),
        ([*lines[:500], *lines[501:]], "neither in it nor in a gap: [499, 500)"),
        ([*lines[:500], lines[499], *lines[500:]], "stand in it twice: [498, 499)"),
    ):
        table.write_text("".join(change))
        found = lab.dtopipe("verify", "lab", "--json")
        assert found.code == 4, found.stdout
        problems = next(output["problems"] for output in found.json["outputs"] if output["name"] == "table")
        assert any(words in problem for problem in problems), problems


def test_verify_works_on_a_copied_folder_and_writes_nothing(lab: Any, tmp_path: Path) -> None:
    assert lab.up(_short(500)).code == 0
    copy = tmp_path / "elsewhere"
    shutil.copytree(lab.run_folder, copy)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(copy.rglob("*"))}
    assert lab.dtopipe("verify", str(copy)).code == 0
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(copy.rglob("*"))} == before


def test_two_runs_in_one_second_have_folders_of_their_own(lab: Any) -> None:
    first = lab.start(_short(200))
    second = lab.start(_short(200))
    assert (first.finish().code, second.finish().code) == (0, 0)
    assert len(lab.run_folders()) == 2


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_run_whose_output_nobody_reads_any_more_goes_on(lab: Any, options: tuple[str, ...]) -> None:
    path = lab.write(counter_topology(2, 20, rate_hz=1000.0) | {"duration": "1s", "sinks": EVERY_SINK})
    unread, output = os.pipe()
    os.close(unread)
    process = subprocess.Popen(
        [sys.executable, "-m", "dtopipe", "up", str(path), *options],
        cwd=lab.folder, stdout=subprocess.DEVNULL if options else output, stderr=output,
    )  # fmt: skip
    os.close(output)
    code = process.wait(60)
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert record["verdict"]["state"] == "GOOD"
    assert record["acquired"]["samples"] == 1000
    assert code == 0


def test_tail_follows_outputs_of_a_run_in_progress_to_its_end(lab: Any) -> None:
    topology = counter_topology(2, 100, rate_hz=2000.0)
    topology["sinks"] = {
        "raw": {"type": "hbuf", "path": "raw.dt-raw"},
        "view": {"type": "csv", "path": "view.csv"},
        "table": {"type": "sqlite", "path": "run.db"},
    }
    running = lab.start(topology)
    running.wait_for_samples("view", 200)
    with ThreadPoolExecutor() as pool:
        tails = {name: pool.submit(lab.dtopipe, "tail", name, "lab") for name in topology["sinks"]}
        running.wait_for_samples("view", 3000)
        assert [tail.result() for tail in tails.values() if tail.done()] == []
        running.interrupt()
        end = running.finish().json["acquired"]["end_sample_index"]
        told = {name: tail.result().stdout.splitlines() for name, tail in tails.items()}
    assert {name: len(lines) - 1 for name, lines in told.items()} == dict.fromkeys(told, end)
    assert {int(line.partition(",")[0]) for line in told["table"][1:]} == set(range(end))
    # The codes of the raw file are told in the channels' units, as the others have them.
    assert told["raw"] == told["table"]
