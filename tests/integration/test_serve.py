"""What ended while the cable was out: served by the machine that has it, and put into what broke off here."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from free_ports import free_port
from laboratory import Ended, counter_codes, read_wide
from machines import Cable, Machine, following, served

OUTPUTS = ("copy.dt-raw", "table.csv", "base.db")


@pytest.fixture
def second_port() -> int:
    return free_port()


def serve(machine: Machine, port: int, *options: str) -> Any:
    return machine.run("serve", "lab/latest", "--endpoint", f"tcp://127.0.0.1:{port}", *options)


def repair(machine: Machine, port: int, daq: Machine, *options: str) -> Ended:
    process = machine.run(
        "repair", str(machine.run_folder), "--from", f"tcp://127.0.0.1:{port}",
        "--server-key", str(daq.public_file), *options, "--json",
    )  # fmt: skip
    return process.finish()


def assert_whole(machine: Machine, kept: np.ndarray[Any, Any]) -> None:
    codes = counter_codes(3, 0, int(kept[-1]) + 1)[:, kept]
    for name in OUTPUTS:
        index, values = read_wide(machine.run_folder / name)
        assert np.array_equal(index, kept), name
        assert np.array_equal(values, codes), name


def test_what_ended_while_the_cable_was_out_is_fetched_afterwards(
    port: int, second_port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    lost = 9000
    topology = served(port, rate_hz=3000.0, overruns=[{"at": lost, "samples": 300}])
    topology["drain_limit"] = "1s"
    remote = office.start(following(cable.port, daq))
    remote.wait_until("away", "acquirer")
    source = daq.start(topology)
    remote.wait_for_samples("copy", 1000)
    cable.cut()
    source.wait_for_samples("archive", lost + 1000)
    source.interrupt()
    there = source.finish()
    assert there.code == 3, there.stderr
    end = there.json["acquired"]["end_sample_index"]
    remote.interrupt()
    here = remote.finish()
    assert here.json["acquired"]["end_sample_index"] < lost
    service = serve(daq, second_port, "--once", "--json")
    done = repair(office, second_port, daq)
    assert done.code == 3, done.stderr
    record = json.loads((office.run_folder / "run.json").read_text())
    assert record["acquired"]["end_sample_index"] == end
    assert record["acquired"]["overrun_samples"] == 300
    assert record["acquired"]["samples"] == end - 300
    for sink in record["sinks"].values():
        assert (sink["start"], sink["stop"], sink["samples"], sink["gaps"]) == (0, end, end - 300, 300)
    assert_whole(office, np.r_[0:lost, lost + 300 : end])
    assert (office.run_folder / "table.csv").read_text() == (daq.run_folder / "table.csv").read_text()
    ended = service.finish()
    assert ended.code == 0
    assert [remote["name"] for remote in ended.json["remotes"]] == ["office"]
    assert office.dtopipe("verify", str(office.run_folder)).code == 3
    assert not list(office.run_folder.glob("fetched*"))
    # Once more, with nobody there to ask: nothing is left to do, and nothing is spoilt by trying.
    again = office.run("repair", str(office.run_folder), "--json").finish()
    assert {output["how"] for output in again.json["outputs"]} == {"whole"}


def test_gaps_of_the_link_are_filled_from_the_source(
    port: int, second_port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    topology = served(port, rate_hz=4000.0, samples_per_block=50)
    topology["sinks"]["archive"]["journal"] = False
    topology["ring"] = {"slots": 20}
    source = daq.start(topology)
    source.wait_until("running")
    follower = following(cable.port, daq)
    remote = office.start(follower)
    remote.wait_for_samples("copy", 1000)
    cable.cut()
    source.wait_for_samples("table", source.committed("table") + 4000)
    cable.mend()
    remote.wait_for_samples("copy", source.committed("table"))
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 3), (there.stderr, here.stderr)
    assert here.json["acquired"]["overrun_samples"] > 0
    service = serve(daq, second_port)
    first = here.json["sinks"]["copy"]["start"]
    done = repair(office, second_port, daq)
    assert done.code == 0, done.stdout + done.stderr
    assert done.json["verdict"]["state"] == "GOOD (repaired)"
    assert_whole(office, np.arange(first, there.json["acquired"]["end_sample_index"]))
    record = json.loads((office.run_folder / "run.json").read_text())
    assert record["acquired"]["overrun_samples"] == 0
    assert not (office.run_folder / "gaps.jsonl").read_text()
    service.interrupt()
    assert service.finish().code == 0


def test_a_repair_that_is_killed_over_its_fetching_begins_anew(
    port: int, second_port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    topology = served(port, rate_hz=3000.0)
    topology["drain_limit"] = "1s"
    source = daq.start(topology)
    remote = office.start(following(cable.port, daq))
    remote.wait_for_samples("copy", 500)
    cable.cut()
    source.wait_for_samples("archive", source.committed("archive") + 3000)
    source.interrupt()
    there = source.finish()
    assert there.code == 0, there.stderr
    remote.interrupt()
    remote.finish()
    service = serve(daq, second_port)
    # Whoever looks for a file that is there for an instant only may never see it.
    slow = Cable(second_port, holds_after=10_000)
    try:
        first = office.run(
            "repair", str(office.run_folder), "--from", f"tcp://127.0.0.1:{slow.port}",
            "--server-key", str(daq.public_file),
        )  # fmt: skip
        office.wait_for(lambda: list(office.run_folder.glob("fetched*")), "file that is fetched")
        first.process.kill()
        first.finish()
    finally:
        slow.close()
    done = repair(office, second_port, daq)
    assert done.code == 0, done.stdout + done.stderr
    assert_whole(office, np.arange(there.json["acquired"]["end_sample_index"]))
    assert not list(office.run_folder.glob("fetched*"))
    service.interrupt()
    assert service.finish().code == 0


def test_a_run_that_was_followed_too_late_is_followed_from_its_archive(
    port: int, second_port: int, daq: Machine, office: Machine
) -> None:
    assert daq.start(served(port, max_samples=5000, pace="max")).finish().code == 0
    service = serve(daq, second_port)
    here = office.start(following(second_port, daq)).finish()
    assert here.code == 0, here.stderr
    assert_whole(office, np.arange(5000))
    service.interrupt()
    ended = service.finish()
    assert ended.code == 0
    assert "office has everything" in ended.stdout


def test_a_remote_that_waits_gets_the_rest_as_soon_as_the_run_is_served(
    port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    topology = served(port, rate_hz=3000.0)
    topology["drain_limit"] = "1s"
    source = daq.start(topology)
    remote = office.start(following(cable.port, daq))
    remote.wait_for_samples("copy", 500)
    cable.cut()
    source.wait_for_samples("archive", source.committed("archive") + 2000)
    source.interrupt()
    there = source.finish()
    assert there.code == 0, there.stderr
    service = serve(daq, port)
    cable.mend()
    here = remote.finish()
    assert here.code == 0, here.stderr
    assert_whole(office, np.arange(there.json["acquired"]["end_sample_index"]))
    service.interrupt()
    assert service.finish().code == 0


def test_what_cannot_be_served_or_fetched_says_why(port: int, second_port: int, daq: Machine, office: Machine) -> None:
    topology = served(port, max_samples=500, pace="max")
    topology["sinks"].pop("archive")
    assert daq.start(topology).finish().code == 0
    refused = serve(daq, second_port).finish()
    assert refused.code == 2
    assert "has no raw file to serve from" in refused.stderr
    assert daq.start(served(port, max_samples=500, pace="max")).finish().code == 0
    service = serve(daq, second_port)
    office.start(
        {**served(port, max_samples=500, pace="max"), "listen": {"endpoint": f"tcp://127.0.0.1:{port}"}}
    ).finish()
    other = repair(office, second_port, daq)
    assert other.code == 1
    assert "it serves the run" in other.stderr
    service.interrupt()
    service.finish()
    nobody = repair(office, second_port, daq)
    assert nobody.code == 1
    assert f"nobody serves this run at tcp://127.0.0.1:{second_port}" in nobody.stderr
