"""A run on another machine: served by one `up`, followed by another, each with a key folder of its own."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from laboratory import counter_codes, read_wide
from machines import Cable, Machine, board_gaps, following, served
from ready_commands import Commands


def assert_whole(machine: Machine, end: int, n_channels: int = 3) -> None:
    """Every output has every sample once, as the formula has it."""
    for name in ("copy.dt-raw", "table.csv", "base.db"):
        index, values = read_wide(machine.run_folder / name)
        assert np.array_equal(index, np.arange(end)), name
        assert np.array_equal(values, counter_codes(n_channels, 0, end)), name


def test_another_machine_has_the_same_run_with_index_times_and_gaps(port: int, daq: Machine, office: Machine) -> None:
    # The follower is there first, and waits.
    remote = office.start(following(port, daq))
    remote.wait_until("away", "acquirer")
    source = daq.start(
        served(port, max_samples=4000, rate_hz=2000.0, overruns=[{"at": 1000, "samples": 300}]), "--meta", "sample=A7"
    )
    there, here = source.finish(), remote.finish()
    assert there.code == here.code == 3, here.stderr
    theirs, ours = there.json, here.json
    assert ours["run_id"] == theirs["run_id"]
    assert ours["stream"]["started_at"] == theirs["stream"]["started_at"]
    assert ours["acquired"]["samples"] == theirs["acquired"]["samples"] == 3700
    assert ours["acquired"]["end_sample_index"] == 4000
    assert ours["stream"]["metadata"]["sample"] == "A7"
    assert ours["stream"]["simulated"]
    kept = np.r_[0:1000, 1300:4000]
    for name in ("copy.dt-raw", "table.csv", "base.db"):
        index, values = read_wide(office.run_folder / name)
        assert np.array_equal(index, kept), name
        assert np.array_equal(values, counter_codes(3, 0, 4000)[:, kept]), name
    assert board_gaps(office) == board_gaps(daq)
    assert [(gap["start"], gap["stop"]) for gap in board_gaps(office)] == [(1000, 1300)]
    assert (office.run_folder / "table.csv").read_text() == (daq.run_folder / "table.csv").read_text()
    with sqlite3.connect(office.run_folder / "base.db") as base:
        assert base.execute("SELECT run_id FROM runs").fetchall() == [(theirs["run_id"],)]
    assert daq.dtopipe("verify", str(daq.run_folder)).code == 3
    assert office.dtopipe("verify", str(office.run_folder)).code == 3
    assert {"remote_joined", "remote_finished"} <= {event["event"] for event in daq.events}


# Early deaths count double: what may die twice is killed twice.
@pytest.mark.parametrize(
    ("victim", "kills"), [("gateway", (500, 2500, 5000)), ("acquirer", (500, 3000)), ("copy", (500, 3000))]
)
def test_whoever_is_killed_on_the_way_every_sample_comes_once(
    victim: str, kills: tuple[int, ...], port: int, daq: Machine, office: Machine
) -> None:
    source = daq.start(served(port, rate_hz=3000.0, samples_per_block=50))
    remote = office.start(following(port, daq))
    for times, reached in enumerate(kills, 1):
        remote.wait_for_samples("table", reached)
        side = source if victim == "gateway" else remote
        side.kill(victim)
        side.wait_until("started", victim, times=times + 1)
    remote.wait_for_samples("table", kills[-1] + 2000)
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    end = there.json["acquired"]["end_sample_index"]
    assert here.json["acquired"]["end_sample_index"] == end
    assert_whole(office, end)


def test_a_gateway_killed_at_the_end_is_succeeded_and_the_end_comes_through(
    port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    source = daq.start(served(port, rate_hz=3000.0))
    remote = office.start(following(cable.port, daq))
    remote.wait_for_samples("copy", 500)
    cable.cut()
    source.wait_for_samples("archive", source.committed("archive") + 3000)
    source.interrupt()
    source.wait_until("done", "archive")
    source.kill("gateway")
    cable.mend()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    assert "died" in {event["event"] for event in daq.events}
    assert_whole(office, there.json["acquired"]["end_sample_index"])


def test_the_sources_acquirer_is_succeeded_and_its_gap_is_the_same_on_both_sides(
    port: int, daq: Machine, office: Machine
) -> None:
    source = daq.start(served(port, rate_hz=3000.0))
    remote = office.start(following(port, daq))
    remote.wait_for_samples("copy", 1000)
    source.kill("acquirer")
    source.wait_until("started", "acquirer", times=2)
    remote.wait_for_samples("copy", source.committed("archive") + 1500)
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (3, 3), (there.stderr, here.stderr)
    assert board_gaps(office) == board_gaps(daq)
    assert [gap["cause"] for gap in board_gaps(office)] == ["acquirer_restart"]
    assert (office.run_folder / "table.csv").read_text() == (daq.run_folder / "table.csv").read_text()


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_link_that_breaks_again_and_again_costs_nothing_but_time(
    how: str, port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    source = daq.start(served(port, rate_hz=3000.0, samples_per_block=50))
    remote = office.start(following(cable.port, daq))
    for reached in (500, 4000) if how == "silent" else (500, 3000, 5000, 7000, 9000, 11_000):
        remote.wait_for_samples("copy", reached)
        if how == "cut":
            cable.cut()
            source.wait_for_samples("archive", source.committed("archive") + 300)
            cable.mend()
        else:
            cable.hold()
            remote.wait_until("away", "acquirer")
            cable.release()
    remote.wait_for_samples("copy", source.committed("archive") + 500)
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    assert there.json["acquired"]["overrun_samples"] == 0
    assert {"away", "back"} <= {event["event"] for event in office.events}
    # What is durable here is acknowledged there.
    assert [event["durable"] > 0 for event in daq.events if event["event"] == "remote_finished"] == [True]
    assert_whole(office, there.json["acquired"]["end_sample_index"])


def test_a_remote_that_was_killed_whole_has_everything_in_its_next_run(
    port: int, daq: Machine, office: Machine
) -> None:
    source = daq.start(served(port, rate_hz=1500.0))
    remote = office.start(following(port, daq))
    remote.wait_for_samples("copy", 1500)
    for process in office.processes():
        if Path(process.cwd()) == office.folder:
            process.kill()
    remote.kill_supervisor()
    again = office.start(following(port, daq))
    source.wait_until("remote_joined", times=2)
    source.interrupt()
    there, here = source.finish(), again.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    assert_whole(office, there.json["acquired"]["end_sample_index"])


def test_a_remote_that_stands_still_harms_nobody_at_the_source(port: int, daq: Machine, office: Machine) -> None:
    topology = served(port, rate_hz=3000.0)
    topology["ring"] = {"slots": 4}
    topology["drain_limit"] = "1s"
    source = daq.start(topology)
    remote = office.start(following(port, daq))
    remote.wait_for_samples("copy", 500)
    remote.pause("acquirer")
    source.wait_for_samples("archive", source.committed("archive") + 6000)
    source.interrupt()
    there = source.finish()
    assert there.code == 0, there.stderr
    assert there.json["acquired"]["overrun_samples"] == 0
    assert "remote_left_behind" in {event["event"] for event in daq.events}
    remote.go_on("acquirer")
    remote.interrupt()
    here = remote.finish()
    # All of it may have been on its way: then it has the source's end.
    assert here.code in (0, 3, 5), here.stderr
    # What was left behind is a gap there, also where the end still came over.
    has_all = here.json["sinks"]["copy"]["samples"] == there.json["acquired"]["end_sample_index"]
    assert (here.code == 0) is (has_all and here.json["source"]["end_sample_index"] is not None)


def test_keys_decide_who_is_served_and_the_client_is_told_which(
    port: int, daq: Machine, office: Machine, tmp_path: Path, ready_commands: Commands
) -> None:
    source = daq.start(served(port, rate_hz=1000.0))
    source.wait_until("running")
    stranger = Machine(tmp_path / "stranger", "stranger", ready_commands)
    refused = stranger.start(following(port, daq)).finish()
    assert refused.code == 2
    assert "does not know this machine's key" in refused.stderr
    assert "dtopipe keys authorize stranger.pub" in refused.stderr
    wrong = following(port, daq)
    wrong["board"]["server_key"] = str(office.public_file)
    refused = office.start(wrong).finish()
    assert refused.code == 2
    assert "most likely server_key is not that machine's key" in refused.stderr
    remote = office.start(following(port, daq))
    remote.wait_for_samples("copy", 500)
    daq.keys.revoke("office", "2026-11-25T00:00:00Z")
    ended = remote.finish()
    assert ended.code == 5
    assert "has revoked this machine's key" in ended.json["verdict"]["text"]
    source.interrupt()
    assert source.finish().code == 0
    told = {(event.get("why"), event.get("name")) for event in daq.events if event["event"] == "remote_refused"}
    assert told == {("unknown key", "")}
    assert [event["name"] for event in daq.events if event["event"] == "remote_revoked"] == ["office"]
    secrets = [machine.keys.own().secret.hex() for machine in (daq, office, stranger)]
    for file in (file for machine in (daq, office) for file in (machine.folder / "runs").rglob("*") if file.is_file()):
        assert not [secret for secret in secrets if secret in file.read_text(errors="replace")], file


def test_without_keys_only_where_both_say_so_and_every_table_tells(port: int, daq: Machine, office: Machine) -> None:
    topology, follower = served(port, max_samples=2000, rate_hz=2000.0), following(port, daq)
    topology["listen"]["insecure"] = True
    follower["board"].pop("server_key")
    follower["board"]["insecure"] = True
    remote = office.start(follower)
    remote.wait_until("away", "acquirer")
    source = daq.start(topology)
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    assert_whole(office, 2000)
    for machine, ended in ((daq, there), (office, here)):
        assert "INSECURE LINK" in ended.stderr
        assert "INSECURE LINK" in machine.dtopipe("status", str(machine.run_folder)).stdout
        assert "INSECURE LINK" in machine.dtopipe("runs").stdout
        assert "INSECURE LINK" in machine.dtopipe("check", "topology.yaml").stdout


def test_a_run_that_cannot_be_served_is_refused_before_it_begins(port: int, daq: Machine) -> None:
    with socket.create_server(("127.0.0.1", port)):
        refused = daq.start(served(port)).finish()
    assert refused.code == 2
    assert f"cannot listen at tcp://127.0.0.1:{port}: Address already in use" in refused.stderr
    daq.keys.private_path.unlink()
    refused = daq.start(served(port)).finish()
    assert refused.code == 2
    assert "dtopipe keys new" in refused.stderr
    assert not daq.run_folders()


def test_a_follower_that_is_not_wanted_any_more_ends_while_it_waits(port: int, daq: Machine, office: Machine) -> None:
    remote = office.start(following(port, daq))
    remote.wait_until("away", "acquirer")
    status = remote.status()
    assert status is not None
    assert "nobody answers there" in status["board"]["state"]
    remote.interrupt()
    ended = remote.finish()
    assert ended.code == 1
    assert "until the end: nothing is recorded" in ended.stderr
    assert not office.run_folders()
    lost = following(port, daq)
    lost["board"]["endpoint"] = "tcp://no-such-machine.invalid:5700"
    refused = office.start(lost).finish()
    assert refused.code == 2
    assert "no-such-machine.invalid is not found" in refused.stderr


def test_a_second_ctrl_c_at_the_source_waits_for_no_remote(port: int, daq: Machine, office: Machine) -> None:
    source = daq.start(served(port, rate_hz=2000.0))
    remote = office.start(following(port, daq))
    remote.wait_for_samples("copy", 500)
    remote.pause("acquirer")
    source.interrupt()
    source.wait_until("done", "archive")
    source.interrupt()
    assert source.finish().code == 0
    remote.kill("acquirer")
    remote.interrupt()
    remote.finish()
    index, values = read_wide(office.run_folder / "copy.dt-raw")
    assert np.array_equal(values, counter_codes(3, 0, len(index)))
