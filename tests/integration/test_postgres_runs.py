"""Whole runs into a real Postgres server: counted, killed, stopped, restarted; no password anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, counter_topology
from postgres_server import PASSWORD, PostgresServer, running_server

import dtopipe


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that the tests of this file may kill."""
    yield from running_server()


@pytest.fixture
def pg_lab(lab: Any, own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The laboratory with a server that runs, known by the environment."""
    monkeypatch.setenv("LAB_DSN", own_server.dsn)
    own_server.ensure_running()
    return lab


def _topology(schema: str, **extra: Any) -> dict[str, Any]:
    topology = counter_topology(3, 50, rate_hz=2000.0) | {"ring": {"seconds": 10}} | extra
    topology["sinks"] = {
        "base": {"type": "postgres", "dsn": "${LAB_DSN}", "schema": schema, "flush_interval": "50ms"},
        "table": {"type": "csv", "path": "table.csv"},
    }
    return topology


def _assert_whole(server: PostgresServer, schema: str, end: int) -> None:
    rows = server.sql(f'SELECT sample_index, ch0, ch1, ch2 FROM "{schema}".samples ORDER BY sample_index')
    found = np.array(rows)
    assert np.array_equal(found[:, 0], np.arange(end))
    assert np.array_equal(found[:, 1:].T, counter_codes(3, 0, end))


def test_a_run_is_whole_in_the_database_and_verify_says_so(pg_lab: Any, own_server: PostgresServer) -> None:
    schema = own_server.new_schema()
    topology = _topology(schema, duration="1s")
    topology["sinks"]["long"] = {**topology["sinks"]["base"], "schema": f"{schema} long", "layout": "long"}
    ended = pg_lab.up(topology)
    assert ended.code == 0, ended.stderr
    _assert_whole(own_server, schema, 2000)
    assert own_server.psql(f'SELECT count(*) FROM "{schema} long".samples_long') == "6000\n"
    ((run_id, committed, finished),) = own_server.sql(f'SELECT run_id, committed, finished FROM "{schema}".runs')
    assert (run_id, committed, finished) == (ended.json["run_id"], 2000, True)
    assert own_server.sql(f'SELECT sum(samples_per_channel) FROM "{schema}".blocks') == [(2000,)]
    sink = ended.json["sinks"]["base"]
    assert (sink["path"], sink["durable"], sink["samples"]) == (None, 2000, 2000)
    report = pg_lab.dtopipe("verify", "lab", "--json")
    assert report.code == 0, report.stdout
    assert [output["samples"] for output in report.json["outputs"]] == [2000, 2000, 2000]


@pytest.mark.parametrize("where", ["${LAB_DSN}", "written out", "single options"])
def test_a_password_is_in_no_record_no_log_and_no_error(
    pg_lab: Any, own_server: PostgresServer, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = own_server.new_schema()
    topology = _topology(schema, duration="200ms")
    sink = topology["sinks"]["base"]
    if where == "written out":
        sink["dsn"] = own_server.dsn
    elif where == "single options":
        del sink["dsn"]
        sink |= own_server.options
    ended = pg_lab.up(topology)
    assert ended.code == 0, ended.stderr
    own_server.stop("fast")
    refused = pg_lab.up(topology | {"name": "again"})
    assert refused.code == 2
    assert "cannot be reached" in refused.stderr
    own_server.start()
    sink["dsn" if "dsn" in sink else "password"] = own_server.dsn.replace("s3cr3t", "s3cr3t-wrong")
    wrong = pg_lab.up(topology | {"name": "wrong"})
    assert wrong.code == 2
    said = "".join(each.stdout + each.stderr for each in (ended, refused, wrong))
    files = [path for path in (pg_lab.folder / "runs").rglob("*") if path.is_file()]
    assert len(files) > 5
    for text in (said, *(path.read_bytes().decode(errors="replace") for path in files)):
        assert "s3cr3t" not in text
    # What was written out is a variable in the record, under libpq's own name.
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert pg_lab.dtopipe("verify", "lab").code == 0


def test_what_was_noted_while_the_server_was_away_is_there_and_metadata_change_afterwards(
    pg_lab: Any, own_server: PostgresServer
) -> None:
    schema = own_server.new_schema()
    running = pg_lab.start(_topology(schema, metadata={"sample": "A7"}))
    running.wait_for_samples("base", 300)
    own_server.kill()
    running.wait_until("away", "base")
    with dtopipe.run_in_progress(run_dir=pg_lab.folder / "runs") as run:
        mark = run.mark("while it was away")
        for mass in (1.5, 2.5):
            run.reading("balance", mass=mass, units={"mass": "g"})
    assert pg_lab.dtopipe("meta", "lab", "sample=A8").code == 0
    own_server.start()
    running.wait_until("back", "base")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    _assert_whole(own_server, schema, ended.json["acquired"]["end_sample_index"])
    marks = own_server.sql(f'SELECT label, sample_index, t_mono_ns, t_utc_ns FROM "{schema}".marks')
    assert marks == [(mark.label, mark.sample_index, mark.t_mono_ns, mark.t_utc_ns)]
    readings = f'SELECT mass, mass_unit FROM "{schema}".readings WHERE device = $1 ORDER BY reading_number'
    assert own_server.sql(readings, "balance") == [(1.5, "g"), (2.5, "g")]
    metadata = f"SELECT metadata ->> 'sample' FROM \"{schema}\".runs"
    assert own_server.sql(metadata) == [("A8",)]

    done = pg_lab.dtopipe("meta", "lab", "sample=A9", "--json")
    assert done.code == 0, done.stderr
    assert done.json["outputs"] == {"base": "changed"}
    assert own_server.sql(metadata) == [("A9",)]
    # With the server away the record has it, and who types it again tells the server.
    own_server.kill()
    away = pg_lab.dtopipe("meta", "lab", "sample=B1", "--json")
    assert away.code == 1
    assert away.json["metadata"]["sample"] == "B1"
    assert away.json["outputs"]["base"].startswith("not changed: ")
    assert PASSWORD not in away.stdout + away.stderr
    own_server.start()
    assert pg_lab.dtopipe("meta", "lab", "sample=B1").code == 0
    assert own_server.sql(metadata) == [("B1",)]
    assert pg_lab.dtopipe("verify", "lab").code == 0


def test_a_killed_sink_goes_on_behind_its_last_commit(pg_lab: Any, own_server: PostgresServer) -> None:
    schema = own_server.new_schema()
    running = pg_lab.start(_topology(schema))
    for times in (2, 3):
        running.wait_for_samples("base", 500 * times)
        running.kill("base")
        running.wait_until("ready", "base", times=times)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["sinks"]["base"]["restarts"] == 2
    _assert_whole(own_server, schema, ended.json["acquired"]["end_sample_index"])


@pytest.mark.parametrize("death", ["killed", "crashed", "stopped"])
def test_a_server_that_dies_is_waited_for_and_nothing_is_there_twice(
    pg_lab: Any, own_server: PostgresServer, death: str
) -> None:
    schema = own_server.new_schema()
    running = pg_lab.start(_topology(schema))
    running.wait_for_samples("base", 500)
    if death == "killed":
        own_server.kill()
    else:
        own_server.stop("immediate" if death == "crashed" else "fast")
    running.wait_until("away", "base")
    assert pg_lab.dtopipe("status", str(running.folder), "--json").json["sinks"]["base"]["state"] == "away"
    own_server.start()
    running.wait_until("back", "base")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    # Its process lived, and no restart was spent.
    assert ended.json["sinks"]["base"]["restarts"] == 0
    _assert_whole(own_server, schema, ended.json["acquired"]["end_sample_index"])
    assert pg_lab.dtopipe("verify", "lab").code == 0


def test_a_server_that_stays_away_ends_the_run_degraded_and_says_from_where(
    pg_lab: Any, own_server: PostgresServer
) -> None:
    schema = own_server.new_schema()
    running = pg_lab.start(_topology(schema, drain_limit="1s"))
    running.wait_for_samples("base", 500)
    own_server.stop("immediate")
    running.wait_until("away", "base")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    end = ended.json["acquired"]["end_sample_index"]
    sink = ended.json["sinks"]["base"]
    assert sink["state"] == "cut_off"
    # The connection that it had, or the one that it tried to make.
    assert re.search("connection is lost|cannot be reached", sink["failure"])
    assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == end
    own_server.start()
    _assert_whole(own_server, schema, sink["committed"])
    gaps = [json.loads(line) for line in (pg_lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    assert [(gap["start"], gap["stop"]) for gap in gaps if gap["sink"] == "base"] == [(sink["committed"], end)]


def test_a_read_only_server_is_waited_for(pg_lab: Any, own_server: PostgresServer) -> None:
    schema = own_server.new_schema()
    running = pg_lab.start(_topology(schema))
    running.wait_for_samples("base", 500)
    own_server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    own_server.sql("SELECT pg_reload_conf()")
    running.wait_until("away", "base")
    own_server.sql("ALTER SYSTEM RESET default_transaction_read_only")
    own_server.sql("SELECT pg_reload_conf()")
    running.wait_until("back", "base")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    _assert_whole(own_server, schema, ended.json["acquired"]["end_sample_index"])


def test_readings_arrive_in_their_own_table(pg_lab: Any, own_server: PostgresServer, tmp_path: Path) -> None:
    schema = own_server.new_schema()
    topology = counter_topology(2, 1, rate_hz=100.0, pace="max", max_samples=300)
    topology["task"]["mode"] = "polled"
    topology["sinks"] = {"base": {"type": "postgres", "dsn": "${LAB_DSN}", "schema": schema}}
    ended = pg_lab.up(topology)
    assert ended.code == 0, ended.stderr
    rows = own_server.sql(f'SELECT sample_index, ch0, ch1, received_at >= requested_at FROM "{schema}".readings')
    assert [row[0] for row in rows] == list(range(300))
    assert np.array_equal(np.array([row[1:3] for row in rows]).T, counter_codes(2, 0, 300))
    assert all(row[3] for row in rows)


def test_why_names_the_network_of_a_sink_whose_server_does_not_answer(pg_lab: Any, own_server: PostgresServer) -> None:
    run = pg_lab.start(_topology(own_server.new_schema()))
    run.wait_for_samples("base", 1000)

    def limiter() -> dict[str, Any]:
        found: dict[str, Any] = pg_lab.dtopipe("why", "--json").json["limiter"] or {}
        return found

    own_server.pause()
    try:
        wanted = {"process": "base", "how": "lags", "call": "network"}.items()
        pg_lab.wait_for(lambda: wanted <= limiter().items(), "why that the server is slow")
        assert "in network (it waits for its server)" in pg_lab.dtopipe("why").stdout
    finally:
        own_server.go_on()
    pg_lab.wait_for(lambda: not limiter(), "why that nothing limits the run any more")
    run.interrupt()
    assert run.finish().code == 0
