"""Commands that look write nothing; those that complete touch what is this user's, here, and held by nobody."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide

from dtopipe.host.runtime import RuntimeEntry, entries
from dtopipe.shm.segment import is_ours, names, unlink
from dtopipe.sinks.file.commit_record import read_commit_record


def _topology(**extra: Any) -> dict[str, Any]:
    return counter_topology(2, 20, rate_hz=2000.0) | {"sinks": EVERY_SINK, "ring": {"seconds": 4}} | extra


def _killed(lab: Any, *run_names: str, **extra: Any) -> list[Path]:
    """The folders of runs whose every process was killed at once."""
    runs = []
    for name in run_names:
        known = set(lab.run_folders())
        runs.append(lab.start(_topology(name=name, **extra)))
        lab.wait_for(lambda known=known: set(lab.run_folders()) - known, "run folder")
        (runs[-1]._folder,) = set(lab.run_folders()) - known
    for running in runs:
        running.wait_for_samples("table", 500)
    victims = lab.processes()
    # First those that would end in order once their supervisor is gone.
    for victim in victims:
        victim.suspend()
    for running in runs:
        running.kill_supervisor()
    for victim in victims:
        victim.kill()
    lab.wait_for_the_end_of_all()
    return [Path(running.folder) for running in runs]


def _lose_power(folder: Path) -> None:
    """What a restart of the machine takes: shared memory, and the folder of the session."""
    entry = _entry_of(folder)
    facts = entry.read()
    assert facts
    unlink(facts.segment)
    entry.remove()


def _entry_of(folder: Path) -> RuntimeEntry:
    return next(entry for entry in entries() if (facts := entry.read()) and facts.run_folder == str(folder))


def _verdict(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text())["verdict"]


def _tree(*roots: Path) -> dict[str, Any]:
    """Every byte, mode and time of writing below these folders, their own included."""
    return {
        str(path): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.lstat().st_ino,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else None,
        )
        for root in roots
        for path in (root, *sorted(root.rglob("*")))
    }


@pytest.fixture
def runtime(lab: Any) -> Iterator[Path]:
    """The runtime folder; what the test puts into it is taken away before the laboratory is left."""
    folder = Path(os.environ["DTOPIPE_RUNTIME_DIR"])
    yield folder
    for path in folder.glob("*thesis*"):
        shutil.rmtree(path)


def _odd_runs(folder: Path, sound: dict[str, Any]) -> dict[str, Path]:
    """Run folders as a power cut, a careless copy, or somebody else makes them."""
    records = {
        "empty": "", "list": "[]", "number": "7", "nothing": "{}", "torn": json.dumps(sound)[:300],
        "nan": json.dumps(sound | {"acquired": {"samples": float("nan"), "end_sample_index": 0}, "verdict": None}),
        "names": json.dumps(sound | {"verdict": None, "sinks": ["table"]}),
        "hostile": json.dumps(sound | {"verdict": None, "run_id": "x/../../../canary*"}),
        "verdict": json.dumps(sound | {"verdict": {"state": "FINE", "text": 7}}),
        "deep": "[" * 100_000,
    }  # fmt: skip
    # Named as runs are: what is not, and says nothing of one, is another program's.
    folders = {name: folder / "odd" / f"20260101T0000{number:02}Z" for number, name in enumerate(records)}
    for name, text in records.items():
        (folders[name] / "logs").mkdir(parents=True)
        (folders[name] / "run.json").write_text(text)
    (folder / "odd" / "begun" / "logs").mkdir(parents=True)
    (folder / "odd" / "begun" / "run.lock").write_text("")
    (folder / "odd" / ".dtopipe-room-x").write_text("canary")
    (folder / "odd" / "canary-1").write_text("canary")
    return folders


def test_any_sequence_of_looks_leaves_every_byte_as_it_was(lab: Any, runtime: Path) -> None:
    assert lab.up(_topology(duration="500ms")).code == 0
    whole = lab.run_folder
    killed, without_power = _killed(lab, "killed", "dark")
    _lose_power(without_power)
    _odd_runs(lab.folder / "runs", json.loads((whole / "run.json").read_text()))
    (runtime / "thesis").mkdir()
    (runtime / "thesis" / "main.tex").write_text("words")
    memory = [Path("/dev/shm") / facts.segment for entry in entries() if (facts := entry.read())]
    roots = [lab.folder, runtime, *(path for path in memory if path.exists())]
    before = _tree(*roots)
    runs = ["lab", "dark", "killed/latest", *map(str, (whole, without_power, killed)), "nobody"]
    runs += [str(folder) for folder in (lab.folder / "runs" / "odd").iterdir() if folder.is_dir()]
    looks: list[tuple[str, ...]] = [("runs",), ("runs", "--json"), ("status",), ("boards",), ("sinks",), ("schema",)]
    looks += [("check", "topology.yaml")]
    words = [(command, run) for command in ("status", "why", "verify") for run in runs]
    looks += [(*typed, *json) for typed in words for json in ((), ("--json",))]
    random.Random(11).shuffle(looks)
    for look in (*looks, ("runs",)):
        ended = lab.dtopipe(*look)
        assert ended.code in range(6), (look, ended.stderr)
        assert _tree(*roots) == before, look
    assert _verdict(killed) is None
    assert _verdict(without_power) is None


def test_runs_lists_what_is_killed_as_interrupted_and_what_is_damaged_with_its_error(lab: Any) -> None:
    assert lab.up(_topology(duration="500ms")).code == 0
    whole, (killed,) = lab.run_folder, _killed(lab, "killed")
    odd = _odd_runs(lab.folder / "runs", json.loads((whole / "run.json").read_text()))
    listed = {Path(run["folder"]): run for run in lab.dtopipe("runs", "--json").json}
    assert listed[killed]["verdict"]["state"] == "INTERRUPTED"
    assert listed[killed]["samples"] >= 500
    assert listed[killed]["in_progress"] is False
    assert listed[killed]["remedy"] == f"dtopipe repair {killed}"
    assert "remedy" not in listed[whole]
    for name in ("empty", "list", "number", "torn", "names", "verdict", "deep"):
        assert str(odd[name] / "run.json") in listed[odd[name]]["error"], name
        assert not listed[odd[name]]["in_progress"]
    assert odd["nothing"] not in listed
    shown = lab.dtopipe("runs")
    assert shown.code == 0
    assert "INTERRUPTED" in shown.stdout
    assert f"dtopipe repair {killed}" in shown.stdout
    # The board's word of how far it was is in shared memory; of what is in an output, in that.
    status = lab.dtopipe("status", "killed", "--json").json
    assert status["acquired"]["end_sample_index"] >= status["sinks"]["table"]["committed"] >= 500
    assert "dtopipe repair" in lab.dtopipe("status", "killed").stdout


def test_repair_completes_the_run_that_it_is_told_and_no_other(lab: Any) -> None:
    first, second = _killed(lab, "first", "second")
    entry, ring = _entry_of(first), _entry_of(first).read()
    assert ring
    assert (first / "run.lock").exists()
    assert lab.dtopipe("repair", "first").code == 0
    assert _verdict(first)["state"] == "GOOD (repaired)"
    assert not entry.folder.exists()
    assert not is_ours(ring.segment)
    assert not (first / "run.lock").exists()
    assert _verdict(second) is None
    end = json.loads((first / "run.json").read_text())["acquired"]["end_sample_index"]
    index, values = read_wide(first / "table.csv")
    assert np.array_equal(index, np.arange(end))
    assert np.array_equal(values, counter_codes(2, 0, end))


def test_the_next_up_completes_the_killed_runs_of_its_user_and_is_not_kept_by_what_it_finds(lab: Any) -> None:
    killed, damaged = _killed(lab, "killed", "damaged")
    (damaged / "run.json").write_text("{")
    _odd_runs(lab.folder / "runs", {})
    before = _tree(lab.folder / "runs" / "odd", damaged)
    ended = lab.up(_topology(duration="500ms"))
    assert ended.code == 0, ended.stderr
    assert f"completed the record of a run that was killed: {killed}" in ended.stderr
    assert _verdict(killed)["state"] == "INTERRUPTED"
    # What is in memory of the other one is kept, and what to do is said.
    assert str(damaged) in ended.stderr
    assert "to give it up" in ended.stderr
    after = _tree(lab.folder / "runs" / "odd", damaged)
    # But for the lock that was held while the record was looked at.
    assert {path: seen for path, seen in after.items() if path != str(damaged)} == {
        path: seen for path, seen in before.items() if path != str(damaged)
    }
    facts = _entry_of(damaged).read()
    assert facts
    assert facts.segment in names()
    _lose_power(damaged)


def test_a_killed_run_whose_disk_is_away_keeps_what_is_in_memory_until_it_is_back(lab: Any) -> None:
    (killed,) = _killed(lab, "lab")
    facts = _entry_of(killed).read()
    assert facts
    away = (lab.folder / "runs").rename(lab.folder / "away")
    lab.recover_killed()
    assert facts.segment in names()
    away.rename(lab.folder / "runs")
    lab.recover_killed()
    assert facts.segment not in names()
    assert _verdict(killed)["state"] == "INTERRUPTED"


@pytest.mark.parametrize("how", ["next up", "repair"])
def test_of_one_s_own_killed_run_outputs_elsewhere_are_looked_into_too(lab: Any, how: str) -> None:
    elsewhere = lab.folder / "elsewhere" / "table.csv"
    elsewhere.parent.mkdir()
    table = EVERY_SINK["table"] | {"path": str(elsewhere), "flush_interval": "50ms"}
    (killed,) = _killed(lab, "lab", sinks=EVERY_SINK | {"table": table})
    # As it was when the record was written last.
    record = json.loads((killed / "run.json").read_text())
    record["sinks"]["table"] |= {"committed": 0, "durable": 0, "samples": 0, "stop": 0}
    (killed / "run.json").write_text(json.dumps(record))
    before = read_commit_record(elsewhere)
    assert before is not None
    assert lab.dtopipe("status", "lab", "--json").json["sinks"]["table"]["committed"] >= before.position.committed
    if how == "repair":
        lab.dtopipe("repair", "lab")
    else:
        lab.recover_killed()
    completed = json.loads((killed / "run.json").read_text())
    assert completed["sinks"]["table"]["committed"] >= before.position.committed >= 500


def test_of_a_killed_run_whose_folder_was_deleted_nothing_stays(lab: Any) -> None:
    (killed,) = _killed(lab, "lab")
    shutil.rmtree(killed)
    lab.recover_killed()
    assert list(entries()) == []
    assert not lab.segments()


@pytest.fixture
def another_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Calls what it is given where the runtime folder is another one: what a logout, or a container, makes of it."""
    other = tmp_path / "session"
    here = os.environ["DTOPIPE_RUNTIME_DIR"]

    def call(*words: str, lab: Any) -> Any:
        monkeypatch.setenv("DTOPIPE_RUNTIME_DIR", str(other))
        try:
            return lab.dtopipe(*words)
        finally:
            monkeypatch.setenv("DTOPIPE_RUNTIME_DIR", here)

    yield call
    assert not other.exists() or [path.name for path in other.iterdir()] in ([], ["dtopipe.lock"])


def test_another_session_finds_follows_and_stops_a_run_by_its_folder(lab: Any, another_session: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 200)
    (listed,) = another_session("runs", "--json", lab=lab).json
    assert (listed["in_progress"], listed["verdict"]) == (True, None)
    for command in ("repair", "verify"):
        refused = another_session(command, str(running.folder), lab=lab)
        assert (refused.code, "still in progress" in refused.stderr) == (2, True), (command, refused.stderr)
        assert _verdict(running.folder) is None
    assert another_session("status", str(running.folder), "--json", lab=lab).json["phase"] == "running"
    mark = json.loads((running.folder / "run.lock").read_text())
    assert (mark["run_id"], mark["pid"]) == (running.status()["run_id"], running.process.pid)
    added = another_session("attach", str(running.folder), "--sink", "csv", "--name", "look", lab=lab)
    assert added.code == 0, added.stderr
    assert another_session("stop", str(running.folder), lab=lab).code == 0
    assert running.finish().code == 0
    assert not (running.folder / "run.lock").exists()
    assert not (running.folder / ".alive").exists()


def test_a_run_of_another_host_or_user_is_left_to_them(lab: Any) -> None:
    (killed,) = _killed(lab, "lab")
    _lose_power(killed)
    mark = json.loads((killed / "run.lock").read_text())
    elsewhere = {"host": "daq-pc", "boot_id": "another"}
    for change, words in (
        (elsewhere, "in progress on daq-pc, as far as can be seen"),
        ({"user_id": 12345}, "let them"),
    ):
        (killed / "run.lock").write_text(json.dumps(mark | change))
        before = _tree(killed)
        for command in ("repair", "stop"):
            refused = lab.dtopipe(command, "lab")
            assert (refused.code, words in refused.stderr) == (2, True), refused.stderr
            assert "run.lock" in refused.stderr
        if change is elsewhere:
            assert words in " ".join(lab.dtopipe("runs").stdout.split())
            assert words in lab.dtopipe("verify", "lab").stderr
        assert _tree(killed) == before
    # The machine was started anew, under its name; or it got another name.
    for change in ({"boot_id": "another"}, {"host": "daq-pc"}):
        (killed / "run.lock").write_text(json.dumps(mark | change))
        assert lab.dtopipe("runs", "--json").json[0]["verdict"]["state"] == "INTERRUPTED"
    (killed / "run.lock").write_text(json.dumps(mark | elsewhere))
    (killed / "run.lock").unlink()
    assert lab.dtopipe("repair", "lab").code == 0


def test_an_entry_of_a_run_on_another_host_is_left_to_that(lab: Any) -> None:
    (killed,) = _killed(lab, "lab")
    mark = json.loads((killed / "run.lock").read_text())
    (killed / "run.lock").write_text(json.dumps(mark | {"host": "daq-pc", "boot_id": "another"}))
    before = _tree(killed, _entry_of(killed).folder)
    lab.recover_killed()
    assert _tree(killed, _entry_of(killed).folder) == before
    (killed / "run.lock").write_text(json.dumps(mark))


def test_a_copy_of_a_run_in_progress_is_not_repaired(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 200)
    copy = lab.folder / "copy"
    shutil.copytree(running.folder, copy)
    before = _tree(copy)
    refused = lab.dtopipe("repair", str(copy))
    assert (refused.code, "a copy of a run that is still in progress" in refused.stderr) == (2, True), refused.stderr
    assert _tree(copy) == before
    running.interrupt()
    assert running.finish().code == 0


def test_while_workers_still_write_a_run_is_not_over(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 200)
    running.pause("table")
    running.kill_supervisor()
    for command in ("repair", "stop", "verify"):
        refused = lab.dtopipe(command, str(running.folder))
        assert (refused.code, "its supervisor was killed" in refused.stderr) == (2, True), (command, refused.stderr)
    lab.recover_killed()
    assert _verdict(running.folder) is None
    running.go_on("table")
    lab.wait_for_the_end_of_all()
    assert lab.dtopipe("stop", str(running.folder)).code == 5
    assert _verdict(running.folder)["state"] == "INTERRUPTED"


def test_a_run_is_found_by_every_way_to_its_folder(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 200)
    (lab.folder / "link").symlink_to(running.folder)
    refused = lab.dtopipe("repair", str(lab.folder / "link"))
    assert (refused.code, "still in progress" in refused.stderr) == (2, True)
    assert lab.dtopipe("stop", str(lab.folder / "link")).code == 0
    assert running.finish().code == 0


def test_what_looks_destroys_nothing_in_a_folder_of_others(lab: Any, runtime: Path) -> None:
    (runtime / "my thesis" / "deep").mkdir(parents=True)
    (runtime / "my thesis" / "main.tex").write_text("words")
    before = _tree(runtime)
    for words in (("runs",), ("status",), ("stop", "nothing"), ("verify", "nothing"), ("stop",), ("repair", "nothing")):
        assert lab.dtopipe(*words).code in (0, 2)
        assert _tree(runtime) == before
    refused = lab.up(_topology())
    assert (refused.code, "not dtopipe's: my thesis" in refused.stderr) == (2, True)
    assert _tree(runtime) == before
