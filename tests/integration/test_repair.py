"""Outputs of runs that ended badly, refilled: whole, equal to the formula, and verify says so."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide
from postgres_server import PostgresServer, running_server
from small_disks import read_only

from dtopipe.host.lock import FileLock
from dtopipe.host.run_folder import RunFolder
from dtopipe.repair.run import repair_run
from dtopipe.verify.verify import verify_run

FILES = {name: sink["path"] for name, sink in EVERY_SINK.items()}


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server of this file's own."""
    yield from running_server()


def _topology(**extra: Any) -> dict[str, Any]:
    return counter_topology(2, 20, rate_hz=2000.0) | {"sinks": EVERY_SINK, "ring": {"seconds": 4}} | extra


def _kill_everything(lab: Any, running: Any) -> None:
    victims = lab.processes()
    running.process.kill()
    for victim in victims:
        victim.kill()
    running.process.communicate()
    lab.wait_for_the_end_of_all()


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return record


def _assert_whole(folder: Path, sinks: dict[str, Any] = EVERY_SINK) -> None:
    """Every output has every sample of the run, once, in order."""
    end = _record(folder)["acquired"]["end_sample_index"]
    for name, sink in sinks.items():
        index, values = read_wide(folder / sink["path"])
        assert np.array_equal(index, np.arange(end)), name
        assert np.array_equal(values, counter_codes(2, 0, end)), name


def _quick(**extra: Any) -> dict[str, Any]:
    """A run of 4000 samples that takes no time."""
    return counter_topology(2, 20, rate_hz=3000.0, pace="max", max_samples=4000) | {"sinks": EVERY_SINK} | extra


def _whole_run(lab: Any, topology: dict[str, Any]) -> Path:
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    folder: Path = lab.run_folder
    return folder


def _repaired(folder: Path, *names: str, other: Path | None = None, outside: bool = False) -> dict[str, str]:
    """What was done about each output; `verify` is content with it."""
    run = RunFolder(folder, outside=outside)
    report = repair_run(run, names, None if other is None else RunFolder(other))
    assert not [output.failure for output in report.outputs if output.failure]
    verified = verify_run(run, _record(folder))
    assert verified.verdict == report.verdict, [output.problems for output in verified.outputs]
    assert verified.verdict.state.exit_code == 0, verified.verdict
    return {output.name: output.how for output in report.outputs}


def test_after_kill_9_of_everything_every_output_is_refilled_to_the_last_sample(
    lab: Any, own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.ensure_running()
    monkeypatch.setenv("LAB_DSN", own_server.dsn)
    schema = own_server.new_schema()
    more = {
        "server": {"type": "postgres", "dsn": "${LAB_DSN}", "schema": schema},
        "long": {"type": "csv", "path": "long.csv", "layout": "long"},
        "one": {"type": "jsonl", "path": "one.jsonl", "channels": ["ch1"]},
    }
    running = lab.start(_topology(sinks={**EVERY_SINK, **more}))
    running.wait_until("running")
    running.wait_for_samples("table", 1000)
    _kill_everything(lab, running)
    assert lab.dtopipe("verify", "lab").code == 5
    repaired = lab.dtopipe("repair", "lab", "--json")
    assert repaired.code == 0, repaired.stdout + repaired.stderr
    assert repaired.json["verdict"]["state"] == "GOOD (repaired)"
    assert repaired.json["first_verdict"]["state"] == "INTERRUPTED"
    verified = lab.dtopipe("verify", "lab", "--json")
    assert verified.code == 0, verified.stdout
    assert verified.json["verdict"]["state"] == "GOOD (repaired)"
    record = _record(lab.run_folder)
    assert record["first_verdict"]["state"] == "INTERRUPTED"
    assert (lab.run_folder / "gaps.jsonl").read_text() == ""
    _assert_whole(lab.run_folder)
    end = record["acquired"]["end_sample_index"]
    rows = np.array(own_server.sql(f'SELECT sample_index, ch0, ch1 FROM "{schema}".samples ORDER BY sample_index'))
    assert np.array_equal(rows[:, 0], np.arange(end))
    assert np.array_equal(rows[:, 1:].T, counter_codes(2, 0, end))
    assert lab.dtopipe("repair", "lab").code == 0
    assert [event["verdict"] for event in running.events() if event["event"] == "repaired"] == ["GOOD (repaired)"]
    assert set(_repaired(lab.run_folder).values()) == {"whole"}


def test_a_sink_that_gave_up_is_continued_where_it_stopped(lab: Any) -> None:
    sinks = {**EVERY_SINK, "table": {**EVERY_SINK["table"], "restart": {"max": 0}}}
    running = lab.start(_topology(sinks=sinks, duration="3s"))
    running.wait_for_samples("table", 500)
    running.kill("table")
    running.wait_until("gave_up", "table")
    assert running.finish().code == 4
    assert _repaired(lab.run_folder) == {name: "continued" if name == "table" else "whole" for name in EVERY_SINK}
    record = _record(lab.run_folder)
    assert record["verdict"]["state"] == "GOOD (repaired)"
    assert record["first_verdict"]["state"] == "DEGRADED"
    assert record["sinks"]["table"] == {**record["sinks"]["table"], "state": "done", "samples": 6000, "gaps": 0}
    assert "failure" not in record["sinks"]["table"]
    _assert_whole(lab.run_folder)


def test_a_drop_sink_is_written_anew_only_when_it_is_named(lab: Any) -> None:
    view = {"type": "csv", "path": "view.csv", "policy": "drop", "delay_per_block": "15ms"}
    topology = _topology(sinks={**EVERY_SINK, "view": view}, duration="3s", ring={"slots": 8})
    folder = _whole_run(lab, topology)
    holed = (folder / "view.csv").read_bytes()
    assert _record(folder)["sinks"]["view"]["dropped"] > 0
    good = _record(folder)
    assert "view" not in _repaired(folder)
    assert _record(folder) == good
    assert (folder / "view.csv").read_bytes() == holed
    assert _repaired(folder, "view") == {"view": "written anew"}
    assert (folder / "view.csv").read_bytes() == (folder / "table.csv").read_bytes()
    assert _record(folder)["sinks"]["view"]["dropped"] == 0
    assert _record(folder)["verdict"]["state"] == "GOOD (repaired)"
    assert _record(folder)["first_verdict"] == good["verdict"]
    unknown = lab.dtopipe("repair", "lab", "--sink", "veiw")
    assert (unknown.code, "its outputs: raw, table" in unknown.stderr) == (2, True)


def test_a_repair_that_is_killed_at_any_instant_is_called_again(lab: Any) -> None:
    folder = _whole_run(lab, _quick())
    for name in EVERY_SINK:
        _spoil(folder, name)
    for name in ("lines", "base", "columns", "raw"):
        stem = Path(FILES[name]).stem
        moments = (
            (f"{stem}.repair.",) if name in ("lines", "raw") else (f"{stem}.repair{Path(FILES[name]).suffix}.whole",)
        )
        process = lab.run("repair", "lab").process
        while process.poll() is None and not any(path.name.startswith(moments) for path in folder.iterdir()):
            pass
        process.kill()
        process.wait()
    _repaired(folder)
    _assert_whole(folder)
    assert not [path.name for path in folder.iterdir() if ".repair." in path.name]


def _spoil(folder: Path, name: str) -> None:
    """Somebody has spoilt an output in the middle."""
    path = folder / FILES[name]
    if name == "base":
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.execute("DELETE FROM samples WHERE sample_index BETWEEN 1000 AND 1099")
            base.commit()
    elif name == "raw":
        data = bytearray(path.read_bytes())
        # In the payload before a chunk's header.
        data[data.index(b'{"seq": 50,') - 10] ^= 0xFF
        path.write_bytes(data)
    elif name in ("columns", "arrays"):
        path.write_bytes(path.read_bytes()[:-100])
    else:
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:1000], *lines[1100:], *lines[2000:2100]]))


def test_a_damaged_chunk_is_named_by_its_range_and_refilled_from_the_other_outputs(lab: Any) -> None:
    topology = _quick()
    for channel in topology["task"]["channels"]:
        channel |= {"kind": "voltage", "range": [-0.1, 0.1]}
    folder = _whole_run(lab, topology)
    before = (folder / "raw.dt-raw").read_bytes()
    _spoil(folder, "raw")
    verified = lab.dtopipe("verify", "lab", "--json")
    assert verified.code == 4
    (raw,) = [output for output in verified.json["outputs"] if output["name"] == "raw"]
    assert raw["missing"] == [{"start": 980, "stop": 1000}]
    assert "checksum" in " ".join(raw["problems"])
    assert _repaired(folder)["raw"] == "written anew"
    assert (folder / "raw.dt-raw").read_bytes() == before


def test_without_a_raw_file_outputs_are_refilled_from_one_another_times_included(lab: Any) -> None:
    sinks = {name: sink for name, sink in EVERY_SINK.items() if name != "raw"}
    topology = _quick(sinks=sinks)
    for channel in topology["task"]["channels"]:
        channel |= {"kind": "voltage", "range": [-10, 10]}
    folder = _whole_run(lab, topology)
    before = (folder / "table.csv").read_bytes()
    assert lab.dtopipe("verify", "lab", "--json").json["outputs"][0]["compared_with"] == "lines or base"
    _spoil(folder, "base")
    for name in ("table", "lines"):
        for ending in ("", ".dtopipe"):
            (folder / (FILES[name] + ending)).unlink()
    assert _repaired(folder) == {
        "table": "written anew", "lines": "written anew", "base": "written anew", "columns": "whole",
        "arrays": "whole",
    }  # fmt: skip
    assert (folder / "table.csv").read_bytes() == before


def test_readings_are_refilled_from_any_other_output_with_every_column(
    lab: Any, own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.ensure_running()
    monkeypatch.setenv("LAB_DSN", own_server.dsn)
    server = {"server": {"type": "postgres", "dsn": "${LAB_DSN}", "schema": own_server.new_schema()}}
    sinks = {name: sink for name, sink in EVERY_SINK.items() if name != "raw"} | server
    topology = counter_topology(2, 1, rate_hz=100.0, pace="max", max_samples=300) | {"sinks": sinks}
    topology["task"]["mode"] = "polled"
    folder = _whole_run(lab, topology)
    before = {name: (folder / FILES[name]).read_bytes() for name in ("table", "lines")}
    # The server's times are to the microsecond: it comes last.
    for kept in ("table", "lines", "base", "columns", "arrays", "server"):
        lost = [name for name in sinks if name not in (kept, "server")]
        for name in lost:
            for ending in ("", ".dtopipe"):
                (folder / (FILES[name] + ending)).unlink()
        if kept != "server":
            own_server.sql(f'DELETE FROM "{server["server"]["schema"]}".readings WHERE sample_index = 17')
            lost.append("server")
        how = _repaired(folder)
        assert {name for name, done in how.items() if done == "written anew"} == set(lost)
        for name, data in before.items():
            assert kept == "server" or (folder / FILES[name]).read_bytes() == data, name


def test_samples_come_from_another_folder_of_the_same_run(lab: Any) -> None:
    folder = _whole_run(lab, _quick())
    copy = lab.folder / "copy"
    shutil.copytree(folder, copy)
    for name in FILES.values():
        (folder / name).unlink()
    assert _repaired(folder, other=copy) == dict.fromkeys(EVERY_SINK, "written anew")
    _assert_whole(folder)
    record = _record(copy)
    (copy / "run.json").write_text(json.dumps(record | {"run_id": "a-stranger"}))
    refused = lab.dtopipe("repair", str(folder), "--from", str(copy))
    assert (refused.code, "another run" in refused.stderr) == (2, True)


def test_other_runs_in_the_same_files_stay_as_they_are(lab: Any) -> None:
    paths = {"table": lab.folder / "all.csv", "base": lab.folder / "all.db"}
    topology = _quick()
    topology["sinks"] = {"raw": EVERY_SINK["raw"]} | {
        name: {"type": EVERY_SINK[name]["type"], "path": str(path), "on_exists": "append"}
        for name, path in paths.items()
    }
    first = _whole_run(lab, {**topology, "name": "first"})
    second = _whole_run(lab, topology)
    lines = paths["table"].read_bytes()
    paths["table"].write_bytes(lines[:-2000])
    with contextlib.closing(sqlite3.connect(paths["base"])) as base:
        base.execute("DELETE FROM samples WHERE run = 2 AND sample_index = 1000")
        base.commit()
    assert _repaired(second, outside=True) == {"raw": "whole", "table": "continued", "base": "written anew"}
    assert paths["table"].read_bytes() == lines
    with contextlib.closing(sqlite3.connect(paths["base"])) as base:
        assert base.execute("SELECT count(*) FROM samples GROUP BY run").fetchall() == [(4000,), (4000,)]
    assert lab.dtopipe("verify", str(first), "--outside").code == 0
    assert _repaired(first, outside=True) == {"raw": "whole", "table": "whole", "base": "whole"}
    paths["table"].write_bytes(lines.replace(b"\n1000,", b"\n1oo0,", 1))
    assert lab.dtopipe("verify", str(first), "--outside").code != 0
    refused = lab.dtopipe("repair", str(first), "--sink", "table", "--outside")
    assert (refused.code, "belongs to another run" in refused.stdout) == (4, True)
    assert paths["table"].read_bytes() == lines.replace(b"\n1000,", b"\n1oo0,", 1)


def test_what_nobody_has_any_more_is_a_gap_with_its_cause(lab: Any) -> None:
    folder = _whole_run(lab, _quick(sinks={"base": EVERY_SINK["base"], "table": EVERY_SINK["table"]}))
    _spoil(folder, "base")
    (folder / "table.csv").unlink()
    repaired = lab.dtopipe("repair", "lab", "--json")
    assert repaired.code == 3, repaired.stdout
    assert lab.dtopipe("verify", "lab").code == 3
    gaps = [json.loads(line) for line in (folder / "gaps.jsonl").read_text().splitlines()]
    assert [(gap["sink"], gap["start"], gap["stop"], gap["cause"]) for gap in gaps] == [
        ("base", 1000, 1100, "write_error"),
        ("table", 1000, 1100, "write_error"),
    ]


def test_what_cannot_be_read_and_nobody_else_has_is_kept(lab: Any) -> None:
    folder = _whole_run(lab, _quick(sinks={"columns": EVERY_SINK["columns"]}))
    _spoil(folder, "columns")
    spoilt = (folder / "columns.parquet").read_bytes()
    repaired = lab.dtopipe("repair", "lab", "--json")
    assert repaired.code == 4
    assert repaired.json["verdict"]["state"] == "DEGRADED"
    assert "nobody else has" in repaired.json["verdict"]["text"]
    assert (folder / "columns.parquet").read_bytes() == spoilt


def test_a_run_in_progress_and_one_that_is_being_repaired_are_refused_with_the_way_out(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_until("running")
    refused = lab.dtopipe("repair", "lab")
    assert (refused.code, f"dtopipe stop {running.folder}" in refused.stderr) == (2, True)
    running.interrupt()
    assert running.finish().code == 0
    with FileLock(lab.run_folder / "logs" / "repair.lock"):
        second = lab.dtopipe("repair", "lab")
    assert (second.code, "another repair" in second.stderr) == (1, True)


def test_a_read_only_folder_is_verified_and_its_repair_says_so(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 1000)
    running.interrupt()
    assert running.finish().code == 0
    (lab.run_folder / "gaps.jsonl").unlink()
    copy = lab.folder / "copy"
    shutil.copytree(lab.run_folder, copy)
    shutil.rmtree(lab.folder / "runs")
    with read_only(copy):
        verified = lab.dtopipe("verify", str(copy), "--json")
        assert verified.code == 0, verified.stderr
        assert verified.json["has_gaps_file"] is False
        refused = lab.dtopipe("repair", str(copy))
        assert (refused.code, "cannot be written to" in refused.stderr) == (1, True)


def test_segments_are_refilled_and_stay_segments(lab: Any) -> None:
    raw = {"type": "hbuf", "path": "raw.dt-raw", "segment": "4KiB"}
    topology = _quick(sinks={"raw": raw, "table": EVERY_SINK["table"]})
    topology["board"]["pace"], topology["duration"] = "realtime", "2s"
    topology["sinks"]["raw"]["flush_interval"] = "50ms"
    folder = _whole_run(lab, topology)
    segments = sorted(path.name for path in folder.glob("raw.0*.dt-raw"))
    assert len(segments) > 2
    data = bytearray((folder / segments[1]).read_bytes())
    data[-10] ^= 0xFF
    (folder / segments[1]).write_bytes(data)
    assert _repaired(folder) == {"raw": "written anew", "table": "whole"}
    (folder / segments[0]).unlink()
    assert _repaired(folder) == {"raw": "written anew", "table": "whole"}
    assert not (folder / "raw.dt-raw").exists()
    assert not list(folder.glob("*.repair*"))
