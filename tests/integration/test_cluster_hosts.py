"""A cluster of NATS servers on hosts of their own, whose links are cut: the run at the other end has all of it once."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, counter_topology, read_wide
from nats_server import program
from network import Host, Network, network_of_hosts
from postgres_server import own_environment

__all__ = ["network_of_hosts"]

RATE_HZ = 5000
ENDPOINT = ",".join(f"nats://n{number}:4222" for number in (1, 2, 3))
ROUTES = ", ".join(f'"nats://n{number}:6222"' for number in (1, 2, 3))

# A node that falls silent is missed after seconds, by its clients and by the others.
pytestmark = pytest.mark.timeout(600)


@contextlib.contextmanager
def servers_on(nodes: list[Host]) -> Iterator[None]:
    """A server on each, killed in the end."""
    started = []
    for node in nodes:
        config = node.folder / "nats.conf"
        config.write_text(
            f'server_name: {node.name}\nlisten: 0.0.0.0:4222\njetstream {{ store_dir: "{node.folder / "store"}" }}\n'
            f"cluster {{ name: hosts, listen: 0.0.0.0:6222, routes: [{ROUTES}] }}\nping_interval: 2s\n"
        )
        with (node.folder / "nats.log").open("wb") as log:
            command = ["ip", "netns", "exec", node.namespace, program(), "-c", str(config)]
            started.append(subprocess.Popen(command, env=own_environment(), stdout=log, stderr=log))
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_cluster_whose_links_are_cut_one_after_the_other_loses_nothing(network: Network) -> None:
    nodes = [network.host(f"n{number}") for number in (1, 2, 3)]
    bench, office = network.host("bench"), network.host("office")
    archive = {"type": "hbuf", "path": "archive.dt-raw", "flush_interval": "100ms"}
    publishing: dict[str, Any] = counter_topology(2, 125, rate_hz=RATE_HZ)
    publishing["sinks"] = {
        "archive": archive,
        "log": {"type": "jetstream", "endpoint": ENDPOINT, "replicas": 3, "flush_interval": "100ms"},
    }
    following = {
        "name": "office",
        "board": {"type": "jetstream", "endpoint": ENDPOINT, "run_name": "lab", "durable": "office"},
        "sinks": {"copy": {"type": "hbuf", "path": "copy.dt-raw"}, "base": {"type": "sqlite", "path": "base.db"}},
    }
    with servers_on(nodes):
        bench.wait_for(
            lambda: "there is no stream" in bench.run("runs", "--on", ENDPOINT).finish().stderr,
            "a cluster with a leader",
        )
        remote = office.start(following)
        source = bench.start(publishing)
        source.wait_for_samples("log", RATE_HZ)
        for away in ([nodes[0]], [nodes[1]], [nodes[2]], nodes[:2], [office], [bench]):
            for host in away:
                network.cut(host)
            source.wait_for_samples("archive", source.committed("archive") + 4 * RATE_HZ)
            for host in away:
                network.mend(host)
            reached = source.committed("archive")
            source.wait_for_samples("log", reached)
            remote.wait_for_samples("base", reached)
        source.interrupt()
        there = source.finish()
        assert there.code == 0, there.stderr
        here = remote.finish()
        assert here.code == 0, here.stderr
    end = there.json["acquired"]["end_sample_index"]
    assert there.json["acquired"]["overrun_samples"] == 0
    assert (there.json["sinks"]["log"]["samples"], there.json["sinks"]["log"]["gaps"]) == (end, 0)
    assert here.json["run_id"] == there.json["run_id"]
    for name in ("copy.dt-raw", "base.db"):
        index, values = read_wide(office.run_folder / name)
        assert np.array_equal(index, np.arange(end)), name
        assert np.array_equal(values, counter_codes(2, 0, end)), name
