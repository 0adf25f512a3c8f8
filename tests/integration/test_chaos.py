"""Faults at random, really injected, and every output held to the formula afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from laboratory import EVERY_SINK, counter_topology
from nats_server import NatsServer
from postgres_server import PostgresServer


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    """One that dies."""
    server = NatsServer()
    yield server
    server.close()


def _topology(**extra: Any) -> dict[str, Any]:
    topology = counter_topology(4, 100, rate_hz=5000.0) | {"sinks": EVERY_SINK, "ring": {"seconds": 4}} | extra
    topology["task"]["driver_buffers"] = 20
    return topology


def test_faults_at_random_cost_nothing_with_a_journal(
    lab: Any, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_DSN", postgres.dsn)
    database = {"type": "postgres", "dsn": "${LAB_DSN}", "schema": postgres.new_schema()}
    path = lab.write(_topology(sinks={**EVERY_SINK, "base_far": database}))
    ended = lab.dtopipe("chaos", str(path), "--seed", "3", "--duration", "10s", "--json")
    assert ended.code == 0, ended.stdout + ended.stderr
    found = ended.json
    assert found["broken"] == []
    assert found["record"]["verdict"]["state"] == "GOOD"
    assert len(found["faults"]) >= 5
    assert {fault["kind"] for fault in found["faults"]} >= {"kill", "stop", "server"}
    assert any("full" in reason for reason in found["skipped"])
    # The same dice fall again.
    assert found["seed"] == 3


def test_a_server_that_dies_costs_a_stream_nothing(lab: Any, own_server: NatsServer) -> None:
    log = {"type": "jetstream", "endpoint": own_server.endpoint, "flush_interval": "50ms"}
    path = lab.write(_topology(sinks={"raw": EVERY_SINK["raw"], "log": log}))
    ended = lab.dtopipe(
        "chaos", str(path), "--seed", "2", "--duration", "6s", "--faults", "kill,server,stop", "--server-death",
        own_server.death, "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.stdout + ended.stderr
    found = ended.json
    assert found["broken"] == []
    assert found["record"]["verdict"]["state"] == "GOOD"
    assert ("server", "server") in {(fault["kind"], fault["victim"]) for fault in found["faults"]}


def test_a_killed_acquirer_costs_what_is_named_and_nothing_else(lab: Any) -> None:
    path = lab.write(_topology(sinks={name: EVERY_SINK[name] for name in ("raw", "table", "base")}))
    ended = lab.dtopipe("chaos", str(path), "--seed", "1", "--duration", "4s", "--faults", "acquirer,kill", "--json")
    found = ended.json
    assert found["broken"] == [], ended.stderr
    assert any(fault["kind"] == "acquirer" for fault in found["faults"])
    assert ended.code == 3
    gaps = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    assert {gap["cause"] for gap in gaps} == {"acquirer_restart"}


def test_without_a_journal_every_loss_has_its_range_and_cause(lab: Any) -> None:
    sinks = {name: EVERY_SINK[name] for name in ("table", "columns")}
    sinks["view"] = {"type": "jsonl", "path": "view.jsonl", "policy": "drop"}
    path = lab.write(_topology(sinks=sinks, ring={"slots": 8}))
    ended = lab.dtopipe("chaos", str(path), "--seed", "5", "--duration", "4s", "--faults", "kill,stop", "--json")
    assert ended.json["broken"] == [], ended.stderr
    assert ended.code in (0, 3)
    for sink in ended.json["record"]["sinks"].values():
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"]


def test_a_disk_that_is_full_for_a_while_is_waited_for(lab: Any, small_disk: Any) -> None:
    disk = small_disk("64m")
    path = lab.write(_topology())
    words = ["--seed", "2", "--duration", "4s", "--faults", "full", "--run-dir", str(disk.path)]
    ended = lab.dtopipe("chaos", str(path), *words, "--json")
    found = ended.json
    assert found["broken"] == [], ended.stderr
    assert found["record"]["verdict"]["state"] == "GOOD"
    assert [fault["kind"] for fault in found["faults"]].count("full") >= 2
    assert all(sink["restarts"] == 0 for sink in found["record"]["sinks"].values())


def test_a_board_that_is_away_and_a_clock_that_is_set_cost_what_is_named(lab: Any) -> None:
    path = lab.write(_topology(sinks={name: EVERY_SINK[name] for name in ("raw", "table")}))
    ended = lab.dtopipe("chaos", str(path), "--seed", "58", "--duration", "4s", "--faults", "board,clock", "--json")
    found = ended.json
    assert found["broken"] == [], ended.stderr
    assert {fault["kind"] for fault in found["faults"]} == {"board", "clock"}
    gaps = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    assert {gap["cause"] for gap in gaps} == {"board_away"}
    assert "wall clock" in found["record"]["verdict"]["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--faults", "kil"], "did you mean kill?"),
        (["--duration", "soon"], "--duration"),
        (["--faults", "server"], "none of these faults can be injected here"),
    ],
)
def test_what_cannot_be_is_refused(lab: Any, words: list[str], said: str) -> None:
    ended = lab.dtopipe("chaos", str(lab.write(_topology())), *words)
    assert ended.code == 2
    assert said in ended.stderr
