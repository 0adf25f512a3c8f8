"""By what a run was ended, and what a follower that has not the source's end says of itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from laboratory import Lab, counter_codes, counter_topology, read_wide
from machines import Cable, Machine, following, served
from ready_commands import Command
from system import ask_to_end, ctrl_c

OUTSIDE: dict[str, Callable[[Command], None]] = {"ctrl_c": ctrl_c}
if sys.platform != "win32":
    # A system that shuts down, and a terminal that is closed, say so with signals of their own.
    OUTSIDE |= {"sigterm": ask_to_end, "terminal_closed": lambda process: process.send_signal(signal.SIGHUP)}


def with_a_table(topology: dict[str, object]) -> dict[str, object]:
    topology["sinks"] = {
        "archive": {"type": "hbuf", "path": "archive.dt-raw"},
        "table": {"type": "csv", "path": "table.csv"},
    }
    return topology


@pytest.mark.parametrize("by", [*OUTSIDE, "stop"])
def test_a_run_that_somebody_ended_says_how(by: str, lab: Lab) -> None:
    running = lab.start(with_a_table(counter_topology()))
    running.wait_for_samples("table", 300)
    if by == "stop":
        stopped = lab.dtopipe("stop")
        assert stopped.code == 0, stopped.stderr
        assert "ended by dtopipe stop (" in stopped.stdout
    else:
        OUTSIDE[by](running.process)
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    record = ended.json
    assert record["ended_by"]["by"] == by
    assert record["verdict"]["text"].endswith(f"; ended by {record['ended_by']['text']} (simulated board)")
    assert f"ended by {record['ended_by']['text']}" in " ".join(ended.stderr.split())
    listed = json.loads(lab.dtopipe("runs", "--json").stdout)
    assert [run["ended_by"] for run in listed] == [record["ended_by"]]
    assert "remedy" not in listed[0]
    shown = {"ctrl_c": "Ctrl-C", "sigterm": "SIGTERM", "terminal_closed": "terminal", "stop": "stop"}[by]
    assert f"GOOD  {shown}" in lab.dtopipe("runs").stdout
    assert lab.dtopipe("verify", str(running.folder)).code == 0


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal of a test's own needs a pseudo-terminal")
def test_a_run_whose_terminal_is_closed_ends_with_its_verdict(lab: Lab) -> None:
    """What it has to say nobody hears; what it has recorded is GOOD."""
    topology = counter_topology(1)
    topology["sinks"] = {"table": {"type": "csv", "path": "table.csv"}}
    file, (master, terminal) = lab.write(topology), os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dtopipe", "up", str(file)], cwd=lab.folder, env={**os.environ, **lab.settings},
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    seen = b""
    while b"running" not in seen:
        seen += os.read(master, 4096)
    os.close(master)
    # As the system does for the session of a terminal.
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    verdict = json.loads((lab.run_folder / "run.json").read_text())["verdict"]
    assert (verdict["state"], "SIGHUP" in verdict["text"]) == ("GOOD", True)


def test_a_run_that_ended_by_itself_says_whether_by_its_duration(lab: Lab) -> None:
    ended = lab.up(with_a_table(counter_topology(pace="max", max_samples=5000)), "--duration", "2s")
    assert ended.json["ended_by"] == {"by": "duration", "text": "its duration of 2 s"}
    assert ended.json["acquired"]["end_sample_index"] == 2000
    assert "ended by its duration of 2 s" in ended.json["verdict"]["text"]
    ended = lab.up(with_a_table(counter_topology(pace="max", max_samples=5000)), "--duration", "20s")
    assert ended.json["ended_by"]["by"] == "board"
    assert "ended by" not in ended.json["verdict"]["text"]


def test_a_run_whose_sink_gave_up_says_what_to_type_and_typing_it_helps(lab: Lab) -> None:
    topology = with_a_table(counter_topology(max_samples=4000))
    topology["sinks"]["view"] = {  # type: ignore[index]
        "type": "csv", "path": "view.csv", "policy": "drop", "restart": {"max": 0}, "flush_interval": "50ms",
    }  # fmt: skip
    running = lab.start(topology)
    running.wait_for_samples("view", 500)
    running.kill("view")
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    name = f"lab/{running.folder.name}"
    command = f"dtopipe repair {name} --sink view"
    assert f"complete it with: {command}" in ended.stderr
    assert json.loads(lab.dtopipe("runs", "--json").stdout)[0]["remedy"] == command
    assert json.loads(lab.dtopipe("verify", name, "--json").stdout)["remedy"] == command
    for shown in (lab.dtopipe("verify", name), lab.dtopipe("status", name), lab.dtopipe("runs")):
        assert command in shown.stdout
    assert lab.dtopipe(*command.split()[1:]).code == 0
    assert "remedy" not in json.loads(lab.dtopipe("runs", "--json").stdout)[0]


def test_what_lies_elsewhere_is_repaired_as_it_was_said_to_be_typed(lab: Lab) -> None:
    elsewhere = lab.folder / "else where" / "table.csv"
    elsewhere.parent.mkdir()
    topology = with_a_table(counter_topology(max_samples=4000))
    topology["sinks"]["table"] |= {  # type: ignore[index]
        "path": str(elsewhere), "restart": {"max": 0}, "flush_interval": "50ms",
    }  # fmt: skip
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    running.kill("table")
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    command = f"dtopipe repair lab/{running.folder.name} --outside"
    assert f"complete it with: {command}\n" in ended.stderr
    assert f"dtopipe verify {running.folder} --outside\n" in ended.stderr
    assert lab.dtopipe(*command.split()[1:]).code == 0
    index, values = read_wide(elsewhere)
    assert np.array_equal(values, counter_codes(3, 0, 4000))
    assert np.array_equal(index, np.arange(4000))


def test_what_the_board_lost_is_said_to_be_beyond_repair(lab: Lab) -> None:
    overruns = [{"at": 1000, "samples": 100}]
    ended = lab.up(with_a_table(counter_topology(max_samples=4000, pace="max", overruns=overruns)))
    assert ended.code == 3
    assert "the board lost it: no repair can bring it back" in ended.stderr
    assert "dtopipe repair" not in ended.stderr
    run = json.loads(lab.dtopipe("runs", "--json").stdout)[0]
    assert run["remedy"] is None
    assert "no repair can" in run["remedy_text"]
    again = lab.dtopipe("verify", str(lab.run_folder), "--json")
    assert json.loads(again.stdout)["remedy"] is None


def test_a_follower_that_was_cut_off_and_stopped_is_incomplete_until_it_has_the_end(
    port: int, daq: Machine, office: Machine, cable: Cable
) -> None:
    # The source does not wait for it at its end.
    source = daq.start({**served(port, rate_hz=3000.0), "drain_limit": "1s"})
    remote = office.start(following(cable.port, daq))
    remote.wait_for_samples("copy", 2000)
    cable.cut()
    remote.wait_until("away", "acquirer")
    source.wait_for_samples("archive", remote.committed("copy") + 3000)
    remote.interrupt()
    here = remote.finish()
    assert here.code == 3, here.stderr
    record = here.json
    end = record["acquired"]["end_sample_index"]
    assert record["source"]["end_sample_index"] is None
    assert record["verdict"]["text"].startswith(f"followed up to sample {end}: the source was away since 20")
    assert record["verdict"]["text"].endswith("; ended by Ctrl-C (simulated board)")
    name = f"office/{remote.folder.name}"
    assert f"dtopipe repair {name} --from tcp://127.0.0.1:{cable.port}" in here.stderr
    assert office.dtopipe("verify", str(remote.folder)).code == 3
    # A repair that hears nothing of the end does not make it good.
    assert office.dtopipe("repair", str(remote.folder)).code == 3
    source.interrupt()
    there = source.finish()
    assert there.code == 0
    assert office.dtopipe("repair", str(remote.folder), "--from", str(daq.run_folder)).code == 0
    whole = there.json["acquired"]["end_sample_index"]
    repaired = json.loads((remote.folder / "run.json").read_text())
    assert repaired["verdict"]["state"] == "GOOD (repaired)"
    assert repaired["source"]["end_sample_index"] == whole
    for name in ("copy.dt-raw", "table.csv", "base.db"):
        index, values = read_wide(remote.folder / name)
        assert np.array_equal(index, np.arange(whole)), name
        assert np.array_equal(values, counter_codes(3, 0, whole)), name
    assert office.dtopipe("verify", str(remote.folder)).code == 0


def test_a_follower_whose_supervisor_was_killed_is_not_repaired_into_a_whole_run(
    port: int, daq: Machine, office: Machine
) -> None:
    source = daq.start(served(port, rate_hz=3000.0))
    remote = office.start(following(port, daq))
    remote.wait_for_samples("copy", 1000)
    folder = remote.folder
    shutil.copytree(folder, office.folder / "copied")
    refused = office.dtopipe("repair", str(office.folder / "copied"))
    assert refused.code == 2
    assert "is a copy of a run that is still in progress" in refused.stderr
    remote.kill_supervisor()
    office.wait_for(lambda: office.dtopipe("repair", str(folder)).code == 3, "end of the follower's processes")
    record = json.loads((folder / "run.json").read_text())
    assert record["ended_by"]["by"] == "killed"
    assert record["first_verdict"]["state"] == "INTERRUPTED"
    assert "followed up to sample" in record["verdict"]["text"]
    source.interrupt()
    assert source.finish().code == 0


def test_a_follower_that_was_to_go_so_far_is_good_where_it_has_that(port: int, daq: Machine, office: Machine) -> None:
    source = daq.start(served(port, rate_hz=3000.0))
    ended = office.start(following(port, daq), "--duration", "1s").finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["end_sample_index"] == 3000
    assert ended.json["ended_by"]["by"] == "duration"
    assert office.dtopipe("verify", str(office.run_folder)).code == 0
    source.interrupt()
    assert source.finish().code == 0
