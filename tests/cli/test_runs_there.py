"""`runs --on nats://...`: the runs of every device in the log of a real NATS server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from nats_server import NatsServer
from published_runs import published
from recordings import recorded

from dtopipe.cli.main import main


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    """With three runs of two benches: two have ended, one goes on."""
    own = NatsServer()
    published(own, "bench 1", recorded(run_id="first"), 500, is_over=True)
    published(own, "bench.2", recorded(run_id="other"), 300, is_over=True)
    published(own, "bench 1", replace(recorded(run_id="second"), metadata={"sample": "A7"}), 200, is_over=False)
    yield own
    own.close()


def listed(server: NatsServer, *words: str) -> list[dict[str, Any]]:
    found = CliRunner().invoke(main, ["runs", "--on", server.endpoint, "--json", *words])
    assert found.exit_code == 0, found.output
    documents: list[dict[str, Any]] = json.loads(found.stdout)
    return documents


def test_every_run_of_every_device_is_listed_by_devices_the_oldest_first(server: NatsServer) -> None:
    found = listed(server)
    assert [(run["run_name"], run["run_id"], run["samples"], run["gaps"]) for run in found] == [
        ("bench 1", "first", 450, 50),
        ("bench 1", "second", 150, 50),
        ("bench.2", "other", 250, 50),
    ]
    assert [run["in_progress"] for run in found] == [False, True, False]
    assert found[0]["started_at"] < found[1]["started_at"]
    assert found[1]["silent_s"] >= 0
    assert {run["device"] for run in found} == {recorded().device}


def test_runs_there_are_chosen_by_metadata_and_by_what_goes_on(server: NatsServer) -> None:
    assert [run["run_id"] for run in listed(server, "--where", "sample=A7")] == ["second"]
    assert [run["run_id"] for run in listed(server, "--verdict", "in progress")] == ["second"]
    assert listed(server, "--since", "2999-01-01") == []


def test_the_table_names_each(server: NatsServer) -> None:
    found = CliRunner().invoke(main, ["runs", "--on", server.endpoint])
    assert found.exit_code == 0
    assert [word in found.output for word in ("bench 1", "bench.2", "450", "ended", "in progress")] == [True] * 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--on", "tcp://127.0.0.1:7001"], "dtopipe top tcp://127.0.0.1:7001"),
        (["--link", "user=lab"], "--link is for --on"),
        (["--on", "nats://127.0.0.1:4222", "--verdict", "GOOD"], "servers keep samples, and no verdicts"),
        (["--on", "nats://127.0.0.1:1"], "see whether it runs and can be reached"),
        (["--on", "nats://127.0.0.1:4222", "--link", "user=lab"], "user and password belong together"),
        (["--on", "nats://127.0.0.1:4222", "--link", "colour=red"], "colour"),
        (["--on", "nats://127.0.0.1:4222", "--link", "token=${NOWHERE_SET}"], "the environment has no NOWHERE_SET"),
    ],
)
def test_what_cannot_be_listed_is_said_with_the_way_out(words: list[str], said: str) -> None:
    found = CliRunner().invoke(main, ["runs", *words])
    assert found.exit_code in (1, 2)
    assert said in found.output


def test_a_password_comes_from_the_environment() -> None:
    own = NatsServer('authorization { users: [ {user: lab, password: "s3cr3t-w0rd"} ] }')
    words = ["runs", "--on", own.endpoint, "--link", "user=lab", "--link", "password=${LAB_PASSWORD}"]
    try:
        found = CliRunner().invoke(main, words, env={"LAB_PASSWORD": "s3cr3t-w0rd"})
        assert "there is no stream dtopipe" in found.output
        refused = CliRunner().invoke(main, words, env={"LAB_PASSWORD": "an0ther"})
        assert "the server refuses this user" in refused.output
        assert "an0ther" not in refused.output
    finally:
        own.close()


def test_servers_without_a_run_say_so(nats_server: NatsServer) -> None:
    found = CliRunner().invoke(main, ["runs", "--on", nats_server.endpoint, "--link", "stream=nothing-here"])
    assert found.exit_code in (1, 2)
    assert "there is no stream nothing-here" in found.output
