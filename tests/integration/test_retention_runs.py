"""A journal that retires segments: the disk holds what others lack, and no sample is nowhere."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, Ended, counter_codes, counter_topology, read_wide

from dtopipe.host.run_folder import RunFolder
from dtopipe.sinks.hbuf.reader import HbufReader
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot
from dtopipe.wire.raw_files import segment_path, segments_of

JOURNAL = {
    "type": "hbuf", "path": "raw.dt-raw", "segment": "4kB", "retention": {"until": "durable"}, "flush_interval": "50ms",
}  # fmt: skip
OTHERS = ("table", "base")


def _topology(**extra: Any) -> dict[str, Any]:
    """Some two segments in each tenth of a second."""
    others = {name: {**EVERY_SINK[name], "sync": "50ms", "flush_interval": "50ms"} for name in OTHERS}
    sinks = {"raw": JOURNAL, **others}
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"sinks": sinks, "ring": {"slots": 40}} | extra
    topology["task"]["driver_buffers"] = 200
    return topology


def _segments(folder: Path) -> list[int]:
    return [number for number in segments_of(folder / "raw.dt-raw") if number]


def _retained_from(folder: Path) -> int:
    return HbufReader(folder / "raw.dt-raw").position().retained_from


def _status(running: Any) -> dict[str, Any]:
    answer = ask_run(RunFolder(running.folder), AskStatus(), StatusSnapshot)
    return {} if answer is None else dict(answer.snapshot)


def _wait_until_retained_from(lab: Any, running: Any, sample: int) -> None:
    lab.wait_for(lambda: _status(running)["sinks"]["raw"]["retained_from"] >= sample, f"retention from {sample} on")


def _ended_in_order(running: Any) -> Ended:
    running.interrupt()
    ended: Ended = running.finish()
    return ended


def _assert_whole(folder: Path, record: dict[str, Any], names: tuple[str, ...] = OTHERS) -> None:
    """The others have every sample of the run, the journal every one from where it is retained; all are counted."""
    end = record["acquired"]["end_sample_index"]
    for sink in record["sinks"].values():
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == end
    for name in names:
        index, values = read_wide(folder / EVERY_SINK[name]["path"])
        assert np.array_equal(index, np.arange(end)), name
        assert np.array_equal(values, counter_codes(2, 0, end)), name
    begin = record["sinks"]["raw"]["retained_from"]
    rows = list(HbufReader(folder / "raw.dt-raw").batches())
    # Where the others were quick, nothing but an empty segment may be left.
    index = np.concatenate([np.zeros(0, np.int64), *(each.sample_index for each in rows)])
    assert np.array_equal(index, np.arange(begin, end))
    values = np.concatenate([np.zeros((2, 0)), *(each.values for each in rows)], axis=1)
    assert np.array_equal(values, counter_codes(2, begin, end))


def _kill_everything(lab: Any, running: Any) -> None:
    victims = lab.processes()
    running.process.kill()
    for victim in victims:
        victim.kill()
    running.process.communicate()
    lab.wait_for_the_end_of_all()


def test_only_the_last_segments_are_there_at_the_end_and_every_sample_is_somewhere(lab: Any) -> None:
    running = lab.start(_topology())
    _wait_until_retained_from(lab, running, 6000)
    ended = _ended_in_order(running)
    assert ended.code == 0, ended.stderr
    folder, record = lab.run_folder, ended.json
    assert record["sinks"]["raw"]["retained_from"] == _retained_from(folder) >= 6000
    assert _segments(folder)[0] > 10
    assert record["verdict"]["state"] == "GOOD"
    _assert_whole(folder, record)
    verified = lab.dtopipe("verify", "lab", "--json")
    assert verified.code == 0, verified.stdout
    found = {output["name"]: output for output in verified.json["outputs"]}
    begin = record["sinks"]["raw"]["retained_from"]
    assert (found["raw"]["retained_from"], found["raw"]["retired"]) == (begin, begin)
    assert found["table"]["compared_with"] == f"raw, before sample {begin:,} base"
    assert f"journal retained from sample {begin:,}" in lab.dtopipe("verify", "lab").stdout


def test_a_run_at_full_speed_retires_too(lab: Any) -> None:
    topology = _topology()
    topology["board"] |= {"pace": "max", "max_samples": 60_000}
    topology["task"] |= {"samples_per_block": 500}
    # 2 s for the journal, so that it does not end before anybody else has synced.
    topology["sinks"]["raw"] = {**JOURNAL, "segment": "16KiB", "delay_per_block": "16ms"}
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    assert ended.json["sinks"]["raw"]["retained_from"] > 0
    _assert_whole(lab.run_folder, ended.json)
    assert lab.dtopipe("verify", "lab").code == 0


def test_a_stopped_sink_keeps_what_it_lacks_and_status_names_it(lab: Any) -> None:
    running = lab.start(_topology())
    _wait_until_retained_from(lab, running, 1000)
    running.pause("table")
    lacking = _status(running)["sinks"]["table"]["durable"]
    running.wait_for_samples("base", lacking + 6000)
    raw = _status(running)["sinks"]["raw"]
    assert raw["kept_for"] == ["table"]
    assert raw["retained_from"] <= _status(running)["sinks"]["table"]["durable"] < raw["committed"] - 4000
    assert "kept for table" in lab.dtopipe("status").stdout
    running.go_on("table")
    _wait_until_retained_from(lab, running, lacking + 5000)
    ended = _ended_in_order(running)
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    _assert_whole(lab.run_folder, ended.json)


def test_what_a_sink_lacks_that_gave_up_stays_until_it_is_revived(lab: Any) -> None:
    topology = _topology()
    topology["sinks"]["table"] |= {"restart": {"max": 0}}
    running = lab.start(topology)
    _wait_until_retained_from(lab, running, 1000)
    running.kill("table")
    running.wait_until("gave_up", "table")
    has = _status(running)["sinks"]["table"]["committed"]
    running.wait_for_samples("base", has + 3000)
    assert _status(running)["sinks"]["raw"]["retained_from"] <= has
    assert lab.dtopipe("restart", "table").code == 0
    _wait_until_retained_from(lab, running, has + 2000)
    ended = _ended_in_order(running)
    _assert_whole(lab.run_folder, ended.json)
    assert lab.dtopipe("verify", "lab").code == 0


def test_what_a_sink_lacks_that_gave_up_for_good_is_there_for_its_repair(lab: Any) -> None:
    topology = _topology()
    topology["sinks"]["table"] |= {"restart": {"max": 0}}
    running = lab.start(topology)
    _wait_until_retained_from(lab, running, 1000)
    running.kill("table")
    running.wait_until("gave_up", "table")
    running.wait_for_samples("base", _status(running)["sinks"]["table"]["committed"] + 3000)
    ended = _ended_in_order(running)
    assert ended.code == 4, ended.stderr
    assert ended.json["sinks"]["raw"]["retained_from"] <= ended.json["sinks"]["table"]["committed"]
    assert lab.dtopipe("verify", "lab").code == 4
    repaired = lab.dtopipe("repair", "lab", "--json")
    assert repaired.code == 0, repaired.stdout
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert record["sinks"]["raw"]["retained_from"] == ended.json["sinks"]["raw"]["retained_from"] > 0
    _assert_whole(lab.run_folder, record)
    assert lab.dtopipe("verify", "lab").code == 0


def test_after_kill_9_of_everything_all_is_where_it_was_retired_to(lab: Any) -> None:
    running = lab.start(_topology())
    _wait_until_retained_from(lab, running, 2000)
    _kill_everything(lab, running)
    folder = lab.run_folder
    assert lab.dtopipe("verify", "lab").code == 5
    lab.recover_killed()
    record = json.loads((folder / "run.json").read_text())
    assert record["sinks"]["raw"]["retained_from"] == _retained_from(folder) >= 2000
    assert lab.dtopipe("repair", "lab").code == 0
    assert lab.dtopipe("verify", "lab").code == 0
    record = json.loads((folder / "run.json").read_text())
    assert record["sinks"]["raw"]["retained_from"] == _retained_from(folder) >= 2000
    _assert_whole(folder, record)


def test_a_journal_that_is_killed_again_and_again_goes_on_retiring(lab: Any) -> None:
    topology = _topology(ring={"seconds": 4})
    topology["sinks"]["raw"] = {**JOURNAL, "restart": {"max": 50, "backoff": "10ms"}}
    running = lab.start(topology)
    for times in range(1, 5):
        _wait_until_retained_from(lab, running, 1500 * times)
        running.kill("raw")
        running.wait_until("ready", "raw", times=times + 1)
    _wait_until_retained_from(lab, running, 8000)
    ended = _ended_in_order(running)
    assert ended.code == 0, ended.stderr
    _assert_whole(lab.run_folder, ended.json)
    assert lab.dtopipe("verify", "lab").code == 0


@pytest.fixture
def retained(lab: Any) -> tuple[Path, dict[str, Any]]:
    """A run that has ended, with gaps before and behind the sample that its journal is retained from."""
    topology = _topology()
    topology["board"] |= {"overruns": [{"at": 1500, "samples": 500}]}
    running = lab.start(topology)
    _wait_until_retained_from(lab, running, 3000)
    # So that some segments stay.
    running.pause("table")
    running.wait_for_samples("raw", _status(running)["sinks"]["raw"]["retained_from"] + 4000)
    running.interrupt()
    running.wait_until("done", "raw")
    running.go_on("table")
    ended = running.finish()
    assert ended.code == 3, ended.stderr
    return lab.run_folder, ended.json


def test_gaps_and_damage_before_and_behind_where_it_is_retained_from(
    lab: Any, retained: tuple[Path, dict[str, Any]]
) -> None:
    folder, record = retained
    begin = record["sinks"]["raw"]["retained_from"]
    assert begin >= 3000
    assert record["sinks"]["raw"]["gaps"] == 500
    assert lab.dtopipe("verify", "lab").code == 3
    # A value before: only the other outputs can tell.
    with closing(sqlite3.connect(folder / "base.db")) as base:
        base.execute("UPDATE samples SET ch1 = ch1 + 1 WHERE sample_index = 700")
        base.commit()
    verified = lab.dtopipe("verify", "lab", "--json")
    assert verified.code == 4
    found = {output["name"]: output for output in verified.json["outputs"]}
    assert found["base"]["differing"] == [{"start": 700, "stop": 701}]
    with closing(sqlite3.connect(folder / "base.db")) as base:
        base.execute("UPDATE samples SET ch1 = ch1 - 1 WHERE sample_index = 700")
        base.execute("UPDATE samples SET ch1 = ch1 + 1 WHERE sample_index = ?", (begin + 20,))
        base.commit()
    found = {o["name"]: o for o in lab.dtopipe("verify", "lab", "--json").json["outputs"]}
    assert found["base"]["differing"] == [{"start": begin + 20, "stop": begin + 21}]
    assert not found["table"]["differing"]


def test_a_segment_that_a_user_deletes_is_damage_and_its_repair_begins_there_again(
    lab: Any, retained: tuple[Path, dict[str, Any]]
) -> None:
    folder, record = retained
    begin = record["sinks"]["raw"]["retained_from"]
    victim = segment_path(folder / "raw.dt-raw", _segments(folder)[0])
    victim.unlink()
    verified = lab.dtopipe("verify", "lab", "--json")
    assert verified.code == 4
    (raw,) = [output for output in verified.json["outputs"] if output["name"] == "raw"]
    assert f"{victim.name}: this segment is not there" in " ".join(raw["problems"])
    assert raw["missing"][0]["start"] == begin
    repaired = lab.dtopipe("repair", "lab", "--json")
    assert repaired.code == 3, repaired.stdout
    assert {o["name"]: o["how"] for o in repaired.json["outputs"]} == {
        "raw": "written anew", "table": "whole", "base": "whole",
    }  # fmt: skip
    again = json.loads((folder / "run.json").read_text())
    mended = {**record["sinks"]["raw"], "durable": again["sinks"]["raw"]["durable"]}
    assert again["sinks"]["raw"] == mended
    assert _retained_from(folder) == begin
    assert lab.dtopipe("verify", "lab").code == 3
    assert next(iter(HbufReader(folder / "raw.dt-raw").gaps())).span.start == 1500


def test_an_output_is_refilled_with_what_was_retired_from_another_one_and_refused_where_nobody_has_it(
    lab: Any, retained: tuple[Path, dict[str, Any]]
) -> None:
    folder, record = retained
    whole = (folder / "table.csv").read_bytes()
    # Spoilt beyond reading, from its first line on.
    (folder / "table.csv").write_bytes(b"\0" * len(whole))
    assert lab.dtopipe("repair", "lab", "--sink", "table").code == 3
    assert (folder / "table.csv").read_bytes() == whole
    (folder / "base.db").write_bytes(b"no database")
    (folder / "table.csv").write_bytes(b"\0" * len(whole))
    refused = lab.dtopipe("repair", "lab", "--sink", "table", "--json")
    assert refused.code == 4
    (table,) = refused.json["outputs"]
    n_lacking = record["sinks"]["raw"]["retained_from"] - 500
    assert f"nobody else has {n_lacking} of its samples" in table["failure"]
    assert "journal is retained from" in table["failure"]
    assert (folder / "table.csv").read_bytes() == b"\0" * len(whole)


def test_what_is_retained_is_converted_and_replayed(lab: Any, retained: tuple[Path, dict[str, Any]]) -> None:
    folder, record = retained
    begin, end = record["sinks"]["raw"]["retained_from"], record["acquired"]["end_sample_index"]
    converted = lab.dtopipe("convert", "lab", "--to", "csv", "--path", "again.csv", "--json")
    assert converted.code == 0, converted.stderr
    assert (converted.json["start"], converted.json["gap_samples"]) == (begin, 0)
    index, values = read_wide(lab.folder / "again.csv")
    assert np.array_equal(index, np.arange(begin, end))
    assert np.array_equal(values, counter_codes(2, begin, end))
    segment = segment_path(folder / "raw.dt-raw", _segments(folder)[0])
    replay = {
        "name": "again", "board": {"type": "replay", "path": str(segment), "speed": "max"},
        "sinks": {"table": EVERY_SINK["table"]},
    }  # fmt: skip
    played = lab.up(replay)
    assert played.code == 0, played.stderr
    index, values = read_wide(Path(lab.folder / "runs" / "again").glob("*/table.csv").__next__())
    assert index[0] == 0
    assert np.array_equal(values, counter_codes(2, begin, begin + len(index)))
