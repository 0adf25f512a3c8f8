"""Another machine's run without a topology: attach to an endpoint, subscribe to one, follow one run after the other."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, read_wide
from machines import Cable, Machine, following, served
from ready_commands import Commands

import dtopipe
from dtopipe import sync
from dtopipe.model.errors import BoardError, UsageError
from dtopipe.transport.key_folder import read_public_file

# From the start of the command to its words.
TOLD_WITHIN_S = 2.0


@pytest.fixture
def knows_daq(daq: Machine, office: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The office, which has the other machine's key, and this process as one of its programs."""
    office.keys.authorize(read_public_file(daq.public_file), "2026-11-25T00:00:00Z")
    monkeypatch.setenv("DTOPIPE_KEYS_DIR", str(office.keys.path))
    return office


def endpoint(port: int) -> str:
    return f"tcp://127.0.0.1:{port}"


def test_attach_to_an_endpoint_needs_no_topology(port: int, daq: Machine, knows_daq: Machine) -> None:
    office = knows_daq
    source = daq.start(served(port, rate_hz=3000.0))
    source.wait_for_samples("archive", 300)
    attached = office.run("attach", endpoint(port), "--sink", "parquet", "--path", "x.parquet", "--json")
    attached.wait_for_samples("parquet", 3000)
    source.interrupt()
    there, here = source.finish(), attached.finish()
    assert (there.code, here.code) == (0, 0), (there.stderr, here.stderr)
    record = here.json
    assert record["run_id"] == there.json["run_id"]
    assert record["sinks"]["parquet"]["start"] == 0
    index, values = read_wide(office.folder / "x.parquet")
    end = there.json["acquired"]["end_sample_index"]
    assert np.array_equal(index, np.arange(end))
    assert np.array_equal(values, counter_codes(3, 0, end))
    # Nobody asked for it: durable all the same, for the source waits for that.
    assert [event["durable"] > 0 for event in daq.events if event["event"] == "remote_finished"] == [True]


def test_an_attached_remote_starts_and_ends_where_it_is_told(port: int, daq: Machine, knows_daq: Machine) -> None:
    office = knows_daq
    source = daq.start(served(port, rate_hz=3000.0))
    source.wait_for_samples("archive", 3000)
    attached = office.run(
        "attach", endpoint(port), "--sink", "csv", "--from", "1234", "--server-key", str(daq.public_file), "--json"
    )
    attached.wait_for_samples("csv", 4000)
    attached.interrupt()
    here = attached.finish()
    # It has all up to there; the run goes on.
    assert here.code == 3, here.stderr
    assert here.json["ended_by"]["by"] == "ctrl_c"
    sink = here.json["sinks"]["csv"]
    assert f"followed up to sample {sink['stop']}, and the source went on" in here.json["verdict"]["text"]
    assert sink["gaps"] == 0
    assert sink["start"] == 1234
    index, values = read_wide(office.run_folder / "csv.csv")
    assert np.array_equal(index, np.arange(1234, sink["stop"]))
    assert np.array_equal(values, counter_codes(3, 1234, sink["stop"]))
    source.wait_until("remote_left")
    source.interrupt()
    there = source.finish()
    assert there.code == 0
    assert there.json["acquired"]["overrun_samples"] == 0


def test_a_key_that_is_not_known_here_is_asked_for(port: int, daq: Machine, office: Machine) -> None:
    ended = office.run("attach", endpoint(port), "--sink", "csv").finish()
    assert ended.code == 2
    assert "the key of tcp://127.0.0.1" in ended.stderr
    assert "dtopipe keys authorize" in ended.stderr


def test_a_wrong_key_is_told_within_two_seconds(
    port: int, daq: Machine, office: Machine, tmp_path: Any, ready_commands: Commands
) -> None:
    source = daq.start(served(port, rate_hz=1000.0))
    source.wait_until("running")
    stranger = Machine(tmp_path / "stranger", "stranger", ready_commands)
    for machine, key, words in (
        (stranger, daq.public_file, "does not know this machine's key"),
        (office, office.public_file, "most likely server_key is not that machine's key"),
    ):
        process = machine.run("attach", endpoint(port), "--sink", "csv", "--server-key", str(key))
        # A command on a busy machine takes longer to start than to be told; the link's own time is tested elsewhere.
        ended = process.finish()
        assert ended.code == 2
        assert words in ended.stderr
        assert not machine.run_folders()
    source.interrupt()
    source.finish()


def test_one_run_after_the_other_is_followed(port: int, daq: Machine, office: Machine) -> None:
    follower = following(port, daq)
    follower["board"]["runs"] = "every"
    remote = office.start(follower)
    ids = []

    def waits_in_folder(number: int) -> bool:
        folders = office.run_folders()
        return len(folders) == number and '"away"' in (folders[-1] / "events.jsonl").read_text()

    for number in range(2):
        # Each one is waited for in a folder of its own.
        office.wait_for(lambda: waits_in_folder(number + 1), "wait for the next run")  # noqa: B023
        ended = daq.start(served(port, max_samples=1500 + 100 * number, rate_hz=1000.0)).finish()
        assert ended.code == 0, ended.stderr
        ids.append(ended.json["run_id"])
    office.wait_for(lambda: waits_in_folder(3), "wait for the next run")
    remote.interrupt()
    ended = remote.finish()
    assert ended.code == 0, ended.stderr
    assert [record["run_id"] for record in ended.json] == ids
    folders = office.run_folders()
    assert len(folders) == 2
    for number, folder in enumerate(folders):
        index, values = read_wide(folder / "table.csv")
        assert np.array_equal(index, np.arange(1500 + 100 * number))
        assert np.array_equal(values, counter_codes(3, 0, 1500 + 100 * number))


def test_a_run_is_followed_by_its_id_and_no_other(port: int, daq: Machine, office: Machine) -> None:
    follower = following(port, daq)
    follower["board"]["runs"] = "0b6a6c2e-0000-4000-8000-000000000000"
    source = daq.start(served(port, rate_hz=3000.0))
    source.wait_until("running")
    remote = office.start(follower)
    remote.wait_until("away", "acquirer")
    office.wait_for(lambda: "it serves the run" in (remote.status() or {})["board"]["state"], "word of another run")
    remote.interrupt()
    ended = remote.finish()
    assert ended.code == 1
    # Said while it waits, and in the end.
    assert ended.stderr.count("it serves the run") >= 2
    assert not office.run_folders()
    follower["board"]["runs"] = source.status()["run_id"]  # type: ignore[index]
    remote = office.start(follower)
    remote.wait_for_samples("copy", 1000)
    source.interrupt()
    assert (source.finish().code, remote.finish().code) == (0, 0)


@pytest.mark.parametrize("policy", ["block", "drop"])
def test_a_program_follows_another_machine(policy: str, port: int, daq: Machine, knows_daq: Machine) -> None:
    source = daq.start(served(port, max_samples=6000, rate_hz=3000.0, overruns=[{"at": 2000, "samples": 500}]))
    source.wait_until("running")
    found = []
    with sync.subscribe(endpoint(port), policy=policy, start="earliest") as recording:
        assert recording.channels == ("ch0", "ch1", "ch2")
        for block in recording.stream:
            stop = block.first_sample_index + block.data.shape[1]
            assert block.raw_codes is not None
            assert np.array_equal(block.raw_codes, counter_codes(3, block.first_sample_index, stop))
            found.append((block.first_sample_index, stop))
            if block.first_sample_index == 2500:
                assert [(gap.span.start, gap.span.stop) for gap in block.gaps_before] == [(2000, 2500)]
    there = source.finish()
    assert there.code == 3, there.stderr
    assert [gap.cause.value for gap in recording.gaps] == ["board_overrun"]
    summary = recording.summary
    assert (summary.start, summary.samples, summary.gap_samples) == (0, 5500, 500)
    assert [a for a, _ in found][1:] == [2500 if b == 2000 else b for _, b in found][:-1]
    assert "remote_finished" in {event["event"] for event in daq.events} or policy == "drop"
    assert set(summary.extra["link"]) == {"offset_ns", "mono_offset_ns", "uncertainty_ns"}


def test_a_program_that_sleeps_harms_nobody_and_has_everything(port: int, daq: Machine, knows_daq: Machine) -> None:
    topology = served(port, rate_hz=20_000.0)
    topology["ring"] = {"slots": 8}
    source = daq.start(topology)
    source.wait_until("running")
    at = 0
    with sync.subscribe(endpoint(port), policy="block", start="earliest") as recording:
        for block in recording.stream:
            assert block.first_sample_index == at
            at += block.data.shape[1]
            if at == 1000:
                # Not even the thread that keeps the link may hold the source, which has gone on by many rings then.
                source.wait_for_samples("archive", 100_000)
            if at > 120_000:
                break
    assert not recording.gaps
    source.wait_until("remote_left")
    source.interrupt()
    there = source.finish()
    assert there.code == 0
    assert there.json["acquired"]["overrun_samples"] == 0


@pytest.mark.anyio
async def test_an_async_program_is_told_what_it_missed(
    port: int, daq: Machine, knows_daq: Machine, cable: Cable
) -> None:
    topology = served(port, max_samples=20_000, rate_hz=4000.0, samples_per_block=50)
    topology["ring"] = {"slots": 20}
    source = daq.start(topology)
    source.wait_until("running")
    has_been_cut = False
    async with dtopipe.subscribe(endpoint(cable.port), start="earliest") as recording:
        async for block in recording.stream:
            if block.first_sample_index > 2000 and not has_been_cut:
                has_been_cut = True
                cable.cut()
                source.wait_for_samples("archive", source.committed("archive") + 4000)
                cable.mend()
    assert source.finish().code == 0
    assert {gap.cause.value for gap in recording.gaps} == {"policy_drop"}
    summary = recording.summary
    assert summary.start + summary.samples + summary.gap_samples == 20_000


def test_a_program_with_a_wrong_key_is_told_why(
    port: int, daq: Machine, knows_daq: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = daq.start(served(port, rate_hz=1000.0))
    source.wait_until("running")
    began_s = time.monotonic()
    with (
        pytest.raises(BoardError, match="most likely server_key is not that machine's key"),
        sync.subscribe(endpoint(port), server_key=knows_daq.public_file),
    ):
        pass
    assert time.monotonic() - began_s < TOLD_WITHIN_S
    monkeypatch.setenv("DTOPIPE_KEYS_DIR", str(daq.folder / "none"))
    with (
        pytest.raises(UsageError, match="there is no key in"),
        sync.subscribe(endpoint(port), server_key=daq.public_file),
    ):
        pass
    source.interrupt()
    assert json.loads(source.finish().stdout)["verdict"]["state"] == "GOOD"
