"""What a gateway gives: from ring and journal, without a journal, to who drops, to who comes late or not at all."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, read_wide
from machines import Cable, Machine, board_gaps, following, gaps_of, served

from dtopipe import sync

OUTPUTS = ("copy.dt-raw", "table.csv", "base.db")


def without_journal(topology: dict[str, Any]) -> dict[str, Any]:
    topology["sinks"].pop("archive")
    return topology


def spans(gaps: list[dict[str, Any]]) -> list[tuple[int, int, str]]:
    return [(gap["start"], gap["stop"], gap["cause"]) for gap in gaps]


def kept(start: int, stop: int, gaps: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """The sample indices that are not in a gap."""
    index = np.arange(start, stop)
    for gap in gaps:
        index = index[(index < gap["start"]) | (index >= gap["stop"])]
    return index


def assert_holds(machine: Machine, index: np.ndarray[Any, Any], names: tuple[str, ...] = OUTPUTS) -> None:
    codes = counter_codes(3, 0, int(index[-1]) + 1)[:, index]
    for name in names:
        found, values = read_wide(machine.run_folder / name)
        assert np.array_equal(found, index), name
        assert np.array_equal(values, codes), name


def test_without_a_journal_a_good_link_lacks_nothing(port: int, daq: Machine, office: Machine) -> None:
    remote = office.start(following(port, daq))
    remote.wait_until("away", "acquirer")
    source = daq.start(without_journal(served(port, max_samples=8000, rate_hz=4000.0)))
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    assert_holds(office, np.arange(8000))


def test_without_a_journal_every_gap_is_named_on_both_sides(
    port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    topology = without_journal(served(port, rate_hz=4000.0, samples_per_block=50))
    topology["ring"] = {"slots": 40}
    remote = office.start(following(cable.port, daq))
    source = daq.start(topology)
    for reached in (1000, 9000):
        remote.wait_for_samples("copy", reached)
        cable.cut()
        source.wait_for_samples("table", source.committed("table") + 4000)
        cable.mend()
    remote.wait_for_samples("copy", source.committed("table"))
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert there.code == 0, there.stderr
    assert here.code == 3, here.stderr
    gaps = board_gaps(office)
    assert len(gaps) >= 2
    assert {gap["cause"] for gap in gaps} == {"transport"}
    assert spans(gaps_of(daq, "remote:office")) == spans(gaps)
    # It comes as soon as it can, which on a busy machine may be behind the first ring.
    end = there.json["acquired"]["end_sample_index"]
    assert_holds(office, kept(here.json["sinks"]["copy"]["start"], end, gaps))
    assert here.json["acquired"]["end_sample_index"] == end
    assert office.dtopipe("verify", str(office.run_folder)).code == 3
    assert daq.dtopipe("verify", str(daq.run_folder)).code == 0


def test_who_drops_is_passed_over_and_costs_the_source_nothing(
    port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    topology = served(port, rate_hz=4000.0, samples_per_block=4)
    topology["ring"] = {"slots": 500}
    follower = following(cable.port, daq)
    follower["board"] |= {"policy": "drop", "start": "latest"}
    source = daq.start(topology)
    source.wait_for_samples("archive", 500)
    remote = office.start(follower)
    remote.wait_until("running")
    # Where it begins is told before anything has come.
    remote.wait_for_samples("copy", source.committed("archive") + 500)
    cable.hold()
    # More blocks than are sent ahead of what it has taken, and the ring of half a second.
    source.wait_for_samples("archive", source.committed("archive") + 24_000)
    cable.release()
    remote.wait_for_samples("copy", source.committed("archive"))
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert there.code == 0, there.stderr
    assert there.json["acquired"]["overrun_samples"] == 0
    assert here.code == 3, here.stderr
    gaps, first = board_gaps(office), here.json["acquired"]["first_sample_index"]
    assert first > 0
    assert {gap["cause"] for gap in gaps} == {"policy_drop"}
    assert spans(gaps_of(daq, "remote:office")) == spans(gaps)
    assert_holds(office, kept(first, here.json["acquired"]["end_sample_index"], gaps))
    for sink in here.json["sinks"].values():
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"]
        assert sink["start"] == first
    acquired = here.json["acquired"]
    assert first + acquired["samples"] + acquired["overrun_samples"] == acquired["end_sample_index"]


@pytest.mark.parametrize("start", [3210, "latest"])
def test_a_run_is_followed_from_any_sample(start: int | str, port: int, daq: Machine, office: Machine) -> None:
    source = daq.start(served(port, rate_hz=3000.0))
    source.wait_for_samples("archive", 4000)
    follower = following(port, daq)
    follower["board"]["start"] = start
    remote = office.start(follower)
    remote.wait_for_samples("table", 6000)
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    first, end = here.json["sinks"]["copy"]["start"], there.json["acquired"]["end_sample_index"]
    assert first == start if isinstance(start, int) else first >= 4000
    assert_holds(office, np.arange(first, end))
    assert f"{end - first} samples per channel, whole in 3 outputs" in here.json["verdict"]["text"]
    assert office.dtopipe("verify", str(office.run_folder)).code == 0


def test_a_start_that_is_not_there_is_refused_with_what_there_is(port: int, daq: Machine, office: Machine) -> None:
    source = daq.start(served(port, rate_hz=1000.0))
    source.wait_for_samples("archive", 500)
    follower = following(port, daq)
    follower["board"]["start"] = 10**9
    refused = office.start(follower).finish()
    assert refused.code == 2
    assert "sample 1000000000 is not there yet: the newest is" in refused.stderr
    source.interrupt()
    assert source.finish().code == 0


def retiring(port: int, **board: Any) -> dict[str, Any]:
    topology = served(port, **board)
    topology["sinks"]["archive"] |= {"segment": "8KiB", "retention": {"until": "durable"}, "sync": "100ms"}
    topology["sinks"]["table"] |= {"flush_interval": "100ms", "sync": "100ms"}
    topology["ring"] = {"slots": 20}
    return topology


def retained_from(machine: Machine, name: str = "archive") -> int:
    record = json.loads((machine.run_folder / "run.json").read_text())
    return int(record["sinks"][name]["retained_from"])


def test_a_journal_keeps_what_a_remote_lacks(port: int, daq: Machine, office: Machine, cable: Cable) -> None:
    source = daq.start(retiring(port, rate_hz=4000.0, samples_per_block=50))
    follower = following(cable.port, daq)
    follower["sinks"]["copy"]["sync"] = "100ms"
    remote = office.start(follower)
    remote.wait_for_samples("copy", 2000)
    first = remote.status()["sinks"]["copy"]["committed"]  # type: ignore[index]
    cable.cut()
    source.wait_for_samples("table", 20_000)
    status = source.status()
    assert status is not None
    assert status["sinks"]["archive"]["retained_from"] <= first + 2000
    assert status["sinks"]["archive"]["kept_for"] == ["remote:office"]
    cable.mend()
    remote.wait_for_samples("copy", 20_000)
    daq.wait_for(
        lambda: (now := source.status()) and now["sinks"]["archive"]["retained_from"] > 8000, "segment that is retired"
    )
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    begin = here.json["sinks"]["copy"]["start"]
    assert_holds(office, np.arange(begin, there.json["acquired"]["end_sample_index"]))


def test_an_absent_remote_is_forgotten_and_what_it_lacks_then_is_named_on_both_sides(
    port: int, daq: Machine, office: Machine
) -> None:
    topology = retiring(port, rate_hz=4000.0, samples_per_block=50)
    topology["listen"]["keep_for"] = "1s"
    source = daq.start(topology)
    follower = following(port, daq)
    follower["sinks"]["copy"]["sync"] = "100ms"
    remote = office.start(follower)
    remote.wait_for_samples("copy", 2000)
    remote.pause("acquirer")
    source.wait_until("remote_forgotten")
    reached = source.committed("archive")
    daq.wait_for(
        lambda: (now := source.status()) and now["sinks"]["archive"]["retained_from"] > reached, "segment retired"
    )
    remote.go_on("acquirer")
    remote.wait_for_samples("copy", reached + 8000)
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 3), (there.stderr, here.stderr)
    gaps = board_gaps(office)
    assert [gap["cause"] for gap in gaps] == ["transport"]
    assert spans(gaps_of(daq, "remote:office")) == spans(gaps)
    begin = here.json["sinks"]["copy"]["start"]
    assert_holds(office, kept(begin, there.json["acquired"]["end_sample_index"], gaps))


def test_readings_are_followed_with_their_own_times(port: int, daq: Machine, office: Machine) -> None:
    topology = served(port, max_samples=60)
    topology["task"] |= {"mode": "polled", "rate_hz": 30}
    topology["task"].pop("samples_per_block")
    topology["task"].pop("driver_buffers")
    topology["sinks"].pop("archive")
    follower = following(port, daq)
    follower["sinks"].pop("copy")
    # The rows have the name of the run in them.
    follower["name"] = topology["name"]
    remote = office.start(follower)
    remote.wait_until("away", "acquirer")
    source = daq.start(topology)
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    assert (office.run_folder / "table.csv").read_text() == (daq.run_folder / "table.csv").read_text()
    assert len((office.run_folder / "table.csv").read_text().splitlines()) > 60


def test_the_clocks_of_both_machines_are_held_against_each_other(port: int, daq: Machine, office: Machine) -> None:
    source = daq.start(served(port, rate_hz=3000.0))
    remote = office.start(following(port, daq))
    office.wait_for(lambda: '"source"' in (remote.folder / "clock.jsonl").read_text(), "pair of times")
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    link = here.json["clock"]["link"]
    # The same clocks, seen across a link.
    assert 0 <= abs(link["offset_ns"]) <= link["uncertainty_ns"] + 1_000_000
    assert 0 <= abs(link["mono_offset_ns"]) <= link["uncertainty_ns"] + 1_000_000
    assert link["round_trip_ns"] > 0
    lines = [json.loads(line) for line in (office.run_folder / "clock.jsonl").read_text().splitlines()]
    assert [line for line in lines if "source" in line]
    assert all({"sample_index", "t_mono_ns", "t_utc"} <= line.keys() for line in lines)


def test_many_remotes_at_once_and_one_that_is_a_thousand_times_too_slow(
    port: int, daq: Machine, office: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DTOPIPE_KEYS_DIR", str(office.keys.path))
    topology = served(port, max_samples=40_000, rate_hz=8000.0, samples_per_block=20)
    topology["ring"] = {"slots": 50}
    # A second: with the usual four blocks a machine that stands for 10 ms loses samples at the board.
    topology["task"]["driver_buffers"] = 400
    topology["drain_limit"] = "2s"
    source = daq.start(topology)
    source.wait_until("running")
    endpoint = f"tcp://127.0.0.1:{port}"
    failures: list[object] = []
    slow_is_in, fast_are_done = threading.Event(), threading.Event()

    def follow(policy: str) -> None:
        at = 0
        with sync.subscribe(endpoint, policy=policy, start="earliest", server_key=daq.public_file) as recording:
            for block in recording.stream:
                stop = block.first_sample_index + block.data.shape[1]
                at = sum(len(gap) for gap in block.gaps_before) + at
                if block.first_sample_index != at and policy == "block":
                    failures.append((policy, block.first_sample_index, at))
                codes = counter_codes(3, block.first_sample_index, stop)
                if block.raw_codes is None or not np.array_equal(block.raw_codes, codes):
                    failures.append((policy, block.first_sample_index))
                at = stop
        summary = recording.summary
        if summary.start + summary.samples + summary.gap_samples != 40_000 or (policy == "block" and recording.gaps):
            failures.append(summary)

    def crawl() -> None:
        with sync.subscribe(endpoint, policy="block", start="earliest", server_key=daq.public_file) as recording:
            for _ in recording.stream:
                slow_is_in.set()
                # 8 blocks a second, of 400.
                if fast_are_done.wait(0.125):
                    return

    slow = threading.Thread(target=crawl)
    slow.start()
    assert slow_is_in.wait(30)
    fast = [threading.Thread(target=follow, args=(policy,)) for policy in ("block", "drop") * 4]
    for thread in fast:
        thread.start()
    for thread in fast:
        thread.join(60)
    fast_are_done.set()
    slow.join(30)
    there = source.finish()
    assert not failures
    assert there.code == 0, there.stderr
    assert there.json["acquired"]["overrun_samples"] == 0
    assert sum(event["event"] == "remote_joined" for event in daq.events) == 9


def test_a_remote_whose_ring_is_full_for_long_goes_on(port: int, daq: Machine, office: Machine) -> None:
    source = daq.start(served(port, rate_hz=4000.0, samples_per_block=50))
    follower = following(port, daq)
    follower["sinks"] = {"table": {"type": "csv", "path": "table.csv", "hung_limit": "none"}}
    follower["ring"] = {"slots": 8}
    remote = office.start(follower)
    remote.wait_for_samples("table", 1000)
    remote.pause("table")
    # As long as it takes to be called away, and more.
    source.wait_for_samples("archive", source.committed("archive") + 50_000)
    reached = source.committed("archive")
    status = source.status()
    assert status is not None
    assert [each["away"] for each in status["listen"]["remotes"]] == [False]
    remote.go_on("table")
    remote.wait_for_samples("table", reached)
    source.interrupt()
    there, here = source.finish(), remote.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    assert_holds(office, np.arange(there.json["acquired"]["end_sample_index"]), ("table.csv",))
