"""Runs across real hosts: by name, over both families of addresses, while links and whole hosts go away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, counter_topology, read_wide
from network import Host, HostRun, Network, Way, network_of_hosts

__all__ = ["network_of_hosts"]

PATHS = {
    "archive": "archive.dt-raw",
    "copy": "copy.dt-raw",
    "columns": "columns.parquet",
    "base": "base.db",
    "table": "table.csv",
}
N_CHANNELS = 8
RATE_HZ = 25_000
PORT = 5700
# Silence of which both ends must hear, by heartbeats and by their own words.
HEARTBEAT_S = 3.0


def served(address: str = "0.0.0.0") -> dict[str, Any]:
    """200 kS/s in total of a clocked board, which loses what nobody reads for 2 s, until it is stopped."""
    topology = counter_topology(N_CHANNELS, samples_per_block=500, rate_hz=RATE_HZ)
    topology["listen"] = {"endpoint": f"tcp://{address}:{PORT}"}
    topology["sinks"] = sinks_of(archive="hbuf", table="csv")
    topology["sinks"]["archive"]["flush_interval"] = "100ms"
    return topology


def following(daq: Host, address: str = "daq-pc") -> dict[str, Any]:
    return {
        "name": "follower",
        "board": {"type": "remote", "endpoint": f"tcp://{address}:{PORT}", "server_key": str(daq.public_file)},
        "sinks": sinks_of(copy="hbuf", columns="parquet", base="sqlite", table="csv"),
    }


def sinks_of(**types: str) -> dict[str, Any]:
    return {name: {"type": type_, "path": PATHS[name]} for name, type_ in types.items()}


def without_csv(topology: dict[str, Any]) -> dict[str, Any]:
    """To read it back takes longer than the run."""
    topology["sinks"].pop("table")
    return topology


def let_the_board_go_on(source: HostRun, board_time_s: float) -> int:
    """Until the source's journal has so much more; how much it has then."""
    reached = source.committed("archive") + round(board_time_s * RATE_HZ)
    source.wait_for_samples("archive", reached)
    return reached


def assert_ends_whole(source: HostRun, daq: Host, remotes: dict[Host, HostRun]) -> None:
    """Stop the source; every output on every host has every sample once, and the board lost none."""
    source.interrupt()
    there = source.finish()
    assert there.code == 0, there.stderr
    acquired = there.json["acquired"]
    assert acquired["overrun_samples"] == 0
    end = acquired["end_sample_index"]
    index, codes = np.arange(end), counter_codes(N_CHANNELS, 0, end)
    outputs = [daq.run_folder / PATHS[sink] for sink in there.json["sinks"]]
    for office, remote in remotes.items():
        here = remote.finish()
        assert here.code == 0, here.stderr
        assert here.json["run_id"] == there.json["run_id"]
        outputs += [office.run_folder / PATHS[sink] for sink in here.json["sinks"]]
    for output in outputs:
        found, values = read_wide(output)
        assert np.array_equal(found, index), output
        assert np.array_equal(values, codes), output


def shown_away(source: HostRun) -> list[bool]:
    """Of each remote that `dtopipe status` shows at the source."""
    status = source.status()
    return [bool(remote["away"]) for remote in status["listen"]["remotes"]] if status else []


def test_a_link_that_is_cut_again_and_again_costs_nothing_but_time(network: Network) -> None:
    daq, office = network.host("daq-pc"), network.host("office")
    source = daq.start(served())
    remote = office.start(following(daq))
    remote.wait_for_samples("base", 5000)
    cuts: tuple[tuple[Way, float], ...] = (("down", 0.1), ("loss", 4.0), ("down", 1.0))
    for way, lasts_s in cuts:
        network.cut(office, way)
        reached = let_the_board_go_on(source, lasts_s)
        network.mend(office)
        remote.wait_for_samples("base", reached)
    assert_ends_whole(source, daq, {office: remote})
    assert {"away", "back"} <= {event["event"] for event in office.events}


def test_a_host_that_falls_silent_costs_the_other_nothing(network: Network) -> None:
    daq, office, attic = network.host("daq-pc"), network.host("office"), network.host("attic")
    source = daq.start(served())
    source.wait_until("running")
    remotes = {host: host.start(without_csv(following(daq))) for host in (office, attic)}
    for remote in remotes.values():
        remote.wait_for_samples("base", 5000)
    network.cut(attic, "loss")
    reached = let_the_board_go_on(source, HEARTBEAT_S + 1)
    remotes[attic].wait_until("away", "acquirer")
    # It has all of that while the other has nothing.
    remotes[office].wait_for_samples("base", reached)
    assert remotes[attic].committed("base") < reached - RATE_HZ * HEARTBEAT_S
    network.mend(attic)
    remotes[attic].wait_for_samples("base", reached)
    assert_ends_whole(source, daq, remotes)
    finished = [event["name"] for event in daq.events if event["event"] == "remote_finished"]
    assert sorted(finished) == ["attic", "office"]


@pytest.mark.parametrize("address", ["[fd99::1]", "daq-pc-6"])
def test_ipv6_is_served_by_address_and_by_name(address: str, network: Network) -> None:
    daq, office = network.host("daq-pc"), network.host("office")
    assert daq.ipv6 == "fd99::1"
    source = daq.start(served("[::]"))
    remote = office.start(following(daq, address))
    remote.wait_for_samples("base", RATE_HZ)
    network.cut(office, "down")
    reached = let_the_board_go_on(source, 0.5)
    network.mend(office)
    remote.wait_for_samples("base", reached)
    assert_ends_whole(source, daq, {office: remote})


def test_a_host_that_goes_without_a_word_is_noticed_and_has_everything_when_it_is_back(network: Network) -> None:
    daq, office = network.host("daq-pc"), network.host("office")
    source = daq.start(without_csv(served()))
    remote = office.start(without_csv(following(daq)))
    remote.wait_for_samples("base", 5000)
    assert shown_away(source) == [False]
    network.power_off(office)
    daq.wait_for(lambda: shown_away(source) == [True], "remote that is shown away")
    assert "away" in daq.dtopipe("status", str(daq.run_folder)).stdout
    # Nothing of it is on the way any more, and nobody there was told.
    network.power_on(office)
    again = office.start(without_csv(following(daq)))
    again.wait_for_samples("base", let_the_board_go_on(source, 0.5))
    assert_ends_whole(source, daq, {office: again})
