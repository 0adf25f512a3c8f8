"""A run through three real NATS servers that keep three copies, which die in turn and two at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from laboratory import counter_codes, counter_topology
from nats_server import NatsServer, has_leader

import dtopipe

RATE_HZ = 2000


def is_whole(server: NatsServer) -> bool:
    """Every copy of the stream is as new as its leader's."""

    async def asked(js: Any) -> bool:
        info = await js.stream_info("dtopipe")
        copies = info.cluster.replicas or []
        return len(copies) == 2 and all(each.current and not each.offline for each in copies)

    try:
        return bool(server.ask(asked))
    except Exception:
        return False


def test_servers_die_in_turn_and_two_at_once_and_every_sample_is_there_once(
    lab: Any, cluster: list[NatsServer], tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    endpoint = ",".join(server.endpoint for server in cluster)
    wait_for(lambda: all(map(has_leader, cluster)), 60.0)
    archive = {"type": "hbuf", "path": "a.dt-raw"}
    log = {"type": "jetstream", "endpoint": endpoint, "replicas": 3, "flush_interval": "50ms"}
    office = {
        "name": "office",
        "run_dir": "office",
        "board": {"type": "jetstream", "endpoint": endpoint, "run_name": "lab", "durable": "office"},
        "sinks": {"archive": archive, "table": {"type": "sqlite", "path": "a.db"}},
    }
    following = lab.run("up", str(lab.write(office, "office.yaml")), "--json")
    publishing = lab.start(counter_topology(2, 50, rate_hz=RATE_HZ) | {"sinks": {"archive": archive, "log": log}})
    publishing.wait_for_samples("log", RATE_HZ)
    for server in cluster:
        server.kill()
        publishing.wait_for_samples("log", publishing.committed("log") + RATE_HZ)
        server.start()
        wait_for(lambda: is_whole(cluster[0]), 60.0)
    for server in cluster[:2]:
        server.kill()
    # One alone is not asked to keep anything: the journal has it meanwhile.
    publishing.wait_for_samples("archive", publishing.committed("archive") + 2 * RATE_HZ)
    for server in cluster[:2]:
        server.start()
    publishing.wait_for_samples("log", publishing.committed("archive") + RATE_HZ)
    publishing.interrupt()
    ended = publishing.finish()
    assert ended.code == 0, ended.stderr
    end = ended.json["acquired"]["end_sample_index"]
    assert ended.json["acquired"]["overrun_samples"] == 0
    assert (ended.json["sinks"]["log"]["samples"], ended.json["sinks"]["log"]["gaps"]) == (end, 0)
    followed = following.finish()
    assert followed.code == 0, followed.stderr
    assert (followed.json["run_id"], followed.json["verdict"]["state"]) == (ended.json["run_id"], "GOOD")
    for name in ("a.dt-raw", "a.db"):
        (file,) = tmp_path.glob(f"office/office/*/{name}")
        run = dtopipe.load(file)
        values = np.stack([run.frame([channel])[channel].to_numpy() for channel in ("ch0", "ch1")])
        assert np.array_equal(values, counter_codes(2, 0, end)), name
