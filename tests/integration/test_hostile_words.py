"""Words to a supervisor that nothing can be made of end no run, whoever says them."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
import zmq
from free_ports import free_port
from laboratory import Lab, counter_topology

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.plan import SinkPlan
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys
from dtopipe.wire.control import Message
from dtopipe.wire.plans import describe_sink

SINK = describe_sink(SinkPlan("more", "csv", "more.csv"))
POSITION = {"start": 0, "committed": 5, "durable": 0, "samples": 5, "gap_samples": 0, "dropped": 0}


def attach(**changes: Any) -> Message:
    return Message("attach", {"sinks": [{**SINK, **changes}], "document": {"more": {"type": "csv"}}, "since": "latest"})


PROGRAMS = [
    attach(path=7), attach(name=[1]), attach(name=5), attach(type=None), attach(restart=None), attach(options=3),
    Message("attach", {"sinks": [7]}), Message("attach", {"sinks": "abc"}), Message("attach", {}),
    Message("attachment", {"name": "x" * 3_000_000}), Message("attachment", {"name": ["table"]}),
    Message("detach", {"name": {}}), Message("restart", {"name": None}), Message("stop", {"now": "yes"}),
    Message("subscribe", {"key": "0123456789abcdef", "policy": "block", "since": [1]}),
    Message("subscribe", {"key": 7}), Message("unsubscribe", {"key": []}), Message("no such word"),
]  # fmt: skip
FORGED = {
    "sink.table.1": [
        Message("done", {**POSITION, "committed": "5"}), Message("ready", {"start": []}),
        Message("gaps", {"gaps": [[0, "1", "transport", 3]]}), Message("gaps", {"gaps": 7}),
        Message("away", {"message": 5}), Message("failed", {"message": {}}),
    ],
    "acquirer.1": [
        Message("compared", {"pair": [1, 2]}), Message("compared", {"pair": ["a"] * 5}),
        Message("opened", {"channels": 5}), Message("opened", {}), Message("away", {}),
    ],
    "gateway.1": [
        Message("remotes", {"remotes": [7]}), Message("remotes", {"remotes": [{}]}),
        Message("event", {"event": "x", "what": msgpack.ExtType(3, b"x")}), Message("hold", {"remote": 3}),
    ],
}  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_nothing_that_is_said_ends_a_run(lab: Lab) -> None:
    topology = counter_topology(rate_hz=2000.0)
    topology["sinks"] = {"table": {"type": "csv", "path": "table.csv"}}
    running = lab.start(topology)
    running.wait_for_samples("table", 200)
    entry = RunFolder(running.folder).entry()
    facts = entry.read() if entry else None
    assert facts is not None
    for address, messages in {"": PROGRAMS, **FORGED}.items():
        # A worker's name is free while there is no such process.
        client = ControlClient(facts.control, Keys(facts.public_key, facts.secret_key), address)
        for message in messages:
            client.send(message)
        client.close()
    running.wait_for_samples("table", running.committed("table") + 1000)
    status = running.status()
    assert status is not None
    assert list(status["sinks"]) == ["table"]
    assert status["malformed"] > 0
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert any(event["event"] == "malformed_message" for event in running.events())
    assert "Traceback" not in (running.folder / "logs" / "supervisor.log").read_text()


def test_what_a_stranger_says_is_dropped_counted_and_shown(lab: Lab) -> None:
    topology = counter_topology(rate_hz=2000.0)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    topology["listen"] = {"endpoint": endpoint, "insecure": True}
    topology["sinks"] = {"table": {"type": "csv", "path": "table.csv"}}
    running = lab.start(topology)
    running.wait_for_samples("table", 200)
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.connect(endpoint)
        for number in range(1000):
            stranger.send(b"\x00 no message at all" * (1 + number % 7))
        lab.wait_for(lambda: running.status()["listen"]["malformed"] == 1000, "count of what was dropped")  # type: ignore[index]
    assert "1,000 malformed requests dropped" in " ".join(lab.dtopipe("status", str(running.folder)).stdout.split())
    # The log does not grow with them.
    assert (running.folder / "logs" / "gateway.log").read_text().count("malformed") < 50
    running.interrupt()
    assert running.finish().code == 0
