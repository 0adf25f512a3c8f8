"""All servers of a cluster lose their power at once, and what they had not synced: the journal has it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cut_mounts import CutMount, mounted, why_not
from forgetful_disk import Mode
from nats_server import NatsServer, has_leader
from ready_commands import Commands
from system import ctrl_c

import dtopipe

# Each byte goes through a file system that is written in Python.
pytestmark = pytest.mark.timeout(600)
RATE_HZ = 2000


def power_goes(servers: list[NatsServer], mounts: list[CutMount]) -> None:
    """At once, everywhere; what survives is their stores' content afterwards, on disks of the usual kind."""
    for mount in mounts:
        mount.cut()
    for server, mount in zip(servers, mounts, strict=True):
        server.begin_to_die()
        mount.end()
        server.kill()
        shutil.rmtree(server.store)
        shutil.copytree(mount.image / "disk", server.store)


@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.ADVERSARIAL])
def test_what_all_servers_lose_is_published_again_from_the_journal(
    mode: Mode, cluster: list[NatsServer], tmp_path: Path, ready_commands: Commands, wait_for: Callable[..., None]
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    endpoint = ",".join(server.endpoint for server in cluster)
    topology = {
        "name": "lab",
        "board": {"type": "simulated", "waveform": "counter"},
        "task": {
            "rate_hz": RATE_HZ,
            "samples_per_block": 50,
            "driver_buffers": 100,
            "channels": [{"name": "ch0", "kind": "raw"}],
        },
        "sinks": {
            "archive": {"type": "hbuf", "path": "a.dt-raw", "flush_interval": "50ms"},
            "log": {"type": "jetstream", "endpoint": endpoint, "replicas": 3, "flush_interval": "50ms"},
        },
    }
    office = {
        "name": "office",
        "board": {"type": "jetstream", "endpoint": endpoint, "run_name": "lab", "durable": "office"},
        "sinks": {"archive": {"type": "hbuf", "path": "a.dt-raw"}},
    }
    for name, document in (("lab", topology), ("office", office)):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(document))
    with contextlib.ExitStack() as stack:
        mounts = []
        for number, server in enumerate(cluster):
            server.kill()
            shutil.rmtree(server.store)
            mounts.append(stack.enter_context(mounted(server.store, server.folder / "image", mode, number)))
            server.start()
        wait_for(lambda: all(map(has_leader, cluster)), 60.0, "the cluster has no leader")
        environment = dict(os.environ)
        publishing = ready_commands.start(["up", "lab.yaml", "--json"], tmp_path, environment)
        stack.callback(publishing.kill)
        following = ready_commands.start(["up", "office.yaml", "--json"], tmp_path, environment)
        stack.callback(following.kill)

        def committed(sink: str) -> int:
            for status in tmp_path.glob("runs/lab/*/run.json"):
                record = json.loads(status.read_text())
                return int(record["sinks"].get(sink, {}).get("committed", 0))
            return 0

        wait_for(lambda: committed("log") >= 2 * RATE_HZ, 90.0, "nothing is published")
        power_goes(cluster, mounts)
        for server in cluster:
            server.start()
        at = committed("archive")
        wait_for(lambda: committed("log") >= at + 2 * RATE_HZ, 120.0, "nothing is published any more")
        ctrl_c(publishing)
        stdout, stderr = publishing.communicate(timeout=120)
        assert publishing.wait() == 0, stderr
        record = json.loads(stdout)
        end = record["acquired"]["end_sample_index"]
        assert (record["sinks"]["log"]["samples"], record["sinks"]["log"]["gaps"]) == (end, 0)
        stdout, stderr = following.communicate(timeout=120)
        assert following.wait() == 0, stderr
        assert json.loads(stdout)["verdict"]["state"] == "GOOD"
    (file,) = tmp_path.glob("runs/office/*/a.dt-raw")
    samples = dtopipe.load(file).samples(["ch0"])
    assert np.array_equal(samples.sample_index, np.arange(end))
    (events,) = tmp_path.glob("runs/lab/*/events.jsonl")
    told = [json.loads(line) for line in events.read_text().splitlines()]
    # Elsewhere the disks may have kept all of it.
    assert mode is not Mode.STRICT or any(
        "has lost what it had acknowledged" in str(event.get("message")) for event in told
    ), told
