"""Whole runs through a real NATS server: published, followed, with the server away, and robbed of what it had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from laboratory import counter_codes, counter_topology, read_wide
from nats_server import NatsServer

import dtopipe


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    """One that a test may kill."""
    server = NatsServer()
    yield server
    server.close()


def test_what_a_server_loses_is_published_again_and_who_follows_has_every_sample_once(
    lab: Any, own_server: NatsServer, tmp_path: Path
) -> None:
    log = {"type": "jetstream", "endpoint": own_server.endpoint, "flush_interval": "50ms"}
    archive = {"type": "hbuf", "path": "a.dt-raw"}
    office = {
        "name": "office",
        "run_dir": "office",
        "board": {"type": "jetstream", "endpoint": own_server.endpoint, "run_name": "lab", "durable": "office"},
        "sinks": {"archive": archive},
    }
    # Before there is a stream, or a run in it.
    following = lab.run("up", str(lab.write(office, "office.yaml")), "--json")
    publishing = lab.start(counter_topology(2, 50, rate_hz=2000.0) | {"sinks": {"archive": archive, "log": log}})
    publishing.wait_for_samples("log", 2000)
    own_server.kill()
    synced = tmp_path / "synced"
    shutil.copytree(own_server.store, synced)
    own_server.start()
    at = publishing.committed("log")
    publishing.wait_for_samples("log", at + 4000)
    # As a power cut leaves it: what it acknowledged since is gone.
    own_server.kill()
    shutil.rmtree(own_server.store)
    shutil.copytree(synced, own_server.store)
    own_server.start()
    publishing.wait_until("ready", "log", times=2)
    publishing.wait_for_samples("log", at + 6000)
    publishing.interrupt()
    ended = publishing.finish()
    assert ended.code == 0, ended.stderr
    end = ended.json["acquired"]["end_sample_index"]
    sink = ended.json["sinks"]["log"]
    assert (sink["samples"], sink["gaps"], sink["restarts"], sink["path"]) == (end, 0, 1, None)
    words = [event["message"] for event in publishing.events() if event["event"] == "failed"]
    assert ["the server has lost what it had acknowledged" in each for each in words] == [True]
    report = lab.dtopipe("verify", "lab", "--json")
    assert report.code == 0, report.stdout
    assert [output["samples"] for output in report.json["outputs"]] == [end, end]
    followed = following.finish()
    assert followed.code == 0, followed.stderr
    assert (followed.json["run_id"], followed.json["verdict"]["state"]) == (ended.json["run_id"], "GOOD")
    assert followed.json["source"]["end_sample_index"] == end
    (file,) = tmp_path.glob("office/office/*/a.dt-raw")
    run = dtopipe.load(file)
    values = np.stack([run.frame([name])[name].to_numpy() for name in ("ch0", "ch1")])
    assert np.array_equal(values, counter_codes(2, 0, end))


def test_a_password_is_in_no_record_no_log_and_no_error(lab: Any, tmp_path: Path) -> None:
    server = NatsServer('authorization { users: [ {user: lab, password: "s3cr3t-w0rd"} ] }')
    try:
        log = {"type": "jetstream", "endpoint": server.endpoint, "user": "lab", "password": "s3cr3t-w0rd"}
        ended = lab.up(counter_topology(1) | {"duration": "200ms", "sinks": {"log": log}})
        assert ended.code == 0, ended.stderr
        texts = [ended.stdout, ended.stderr]
        texts += [path.read_text(errors="replace") for path in lab.run_folder.rglob("*") if path.is_file()]
        assert not [text for text in texts if "s3cr3t-w0rd" in text]
        assert "${NATS_PASSWORD}" in (lab.run_folder / "topology.yaml").read_text()
        refused = lab.up(counter_topology(1) | {"sinks": {"log": {**log, "password": "an0ther"}}})
        assert refused.code == 2
        assert "the server refuses this user" in refused.stderr
        assert "an0ther" not in refused.stdout + refused.stderr
    finally:
        server.close()


def test_a_run_is_read_along_logged_and_completed_from_the_servers(
    lab: Any, own_server: NatsServer, tmp_path: Path
) -> None:
    log = {"type": "jetstream", "endpoint": own_server.endpoint, "flush_interval": "50ms"}
    archive = {"type": "hbuf", "path": "a.dt-raw"}
    sinks = {"archive": archive, "log": log, "copy": {**log, "run_name": "copy"}}
    publishing = lab.start(counter_topology(2, 50, rate_hz=2000.0) | {"sinks": sinks})
    publishing.wait_for_samples("log", 2000)
    assert lab.dtopipe("detach", "copy").code == 0
    logging = lab.run(
        "attach", own_server.endpoint, "--link", "run_name=lab", "--sink", "csv", "--path", "log.csv",
        "--run-dir", "office", "--json",
    )  # fmt: skip

    written = tmp_path / "log.csv"
    lab.wait_for(lambda: written.exists() and written.stat().st_size > 10_000, "samples in it")

    async def read_along() -> tuple[str, Any, Any]:
        async with dtopipe.subscribe(own_server.endpoint, start=500, options={"run_name": "lab"}) as recording:
            first, codes = -1, np.empty((2, 0), np.int16)
            async for block in recording.stream:
                assert block.raw_codes is not None
                first = block.first_sample_index if first < 0 else first
                codes = np.concatenate([codes, block.raw_codes], axis=1)
                if codes.shape[1] >= 3500:
                    break
            return recording.run.run_id, first, codes

    run_id, first, codes = anyio.run(read_along)
    assert first == 500
    assert np.array_equal(codes, counter_codes(2, 500, 500 + codes.shape[1]))
    publishing.interrupt()
    ended = publishing.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["run_id"] == run_id
    end = ended.json["acquired"]["end_sample_index"]
    logged = logging.finish()
    assert logged.code == 0, logged.stderr
    assert (logged.json["run_id"], logged.json["sinks"]["csv"]["samples"]) == (run_id, end)
    # An output that left the run says nothing of its end: whoever follows it waits for more.
    listed = lab.dtopipe("runs", "--on", own_server.endpoint, "--json").json
    assert {run["run_name"]: run["in_progress"] for run in listed} == {"lab": False, "copy": True}
    index, values = read_wide(written)
    assert np.array_equal(index, np.arange(end))
    assert np.array_equal(values, counter_codes(2, 0, end))

    written.unlink()
    (followed,) = tmp_path.glob("office/*/*/run.json")
    repaired = lab.dtopipe("repair", str(followed.parent), "--from", own_server.endpoint, "--outside")
    assert repaired.code == 0, repaired.stderr + repaired.stdout
    index, values = read_wide(written)
    assert np.array_equal(index, np.arange(end))
    assert np.array_equal(values, counter_codes(2, 0, end))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--link", "colour=red"], "colour"),
        (["--link", "run_name"], "has no value"),
        (["--insecure"], "are for tcp://"),
        (["--link", "password=${NOWHERE_SET}"], "the environment has no NOWHERE_SET"),
        (["--link", "endpoint=nats://other"], "is given already"),
    ],
)
def test_what_cannot_be_said_of_a_link_to_servers_is_refused(lab: Any, words: list[str], said: str) -> None:
    refused = lab.dtopipe("attach", "nats://127.0.0.1:4222", "--sink", "csv", *words)
    assert refused.code == 2
    assert said in refused.stderr
    assert not lab.run_folders()


def test_an_endpoint_of_another_kind_is_refused(lab: Any) -> None:
    refused = lab.dtopipe("attach", "mqtt://broker:1883", "--sink", "csv")
    assert refused.code == 2
    assert "is no endpoint that a run is followed at" in refused.stderr
