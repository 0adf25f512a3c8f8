"""A mark that is set is in the run folder, and in every output that has a place for it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from laboratory import EVERY_SINK, counter_topology

from dtopipe import RunOver, run_in_progress
from dtopipe.host.run_marks import mark_line, marks_of
from dtopipe.host.run_readings import readings_of
from dtopipe.model.marks import Mark
from dtopipe.sinks.registry import load_reader

WITH_MARKS = ("raw", "base", "columns", "arrays")


def _mark(lab: Any, label: str, *words: str) -> Mark:
    set_ = lab.dtopipe("mark", label, *words, "--json")
    assert set_.code == 0, set_.stderr
    return Mark.from_json(set_.json)


def _marks_in(folder: Path, sink: str, path: str) -> list[Mark]:
    kinds = {name: each["type"] for name, each in EVERY_SINK.items()}
    reader: Any = load_reader(kinds[sink])(folder / path)
    return list(reader.marks())


def test_a_mark_is_in_every_output_that_has_a_place_for_it(lab: Any) -> None:
    running = lab.start(counter_topology(2) | {"sinks": EVERY_SINK})
    running.wait_for_samples("raw", 1000)
    before = running.status()["board"]["end_sample_index"]
    ignition = _mark(lab, "ignition", "-m", "valve 3, by hand")
    earlier = _mark(lab, "Zündung vorbereitet", "--at", "-500ms")
    tenth = _mark(lab, "tenth", "--at", "10")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ignition.sample_index >= before
    assert ignition.text == "valve 3, by hand"
    assert ignition.by.count("@") == 1
    assert 0 <= earlier.set_at_ns - earlier.t_utc_ns - 500_000_000 < 1_100_000
    assert tenth.sample_index == 10
    asked = [line for line in running.events() if line["event"] in ("kept_awake", "may_sleep")]
    assert len(asked) == 1, "whether the machine could be asked to stay awake"
    folder = lab.run_folder
    assert marks_of(folder) == (tenth, *sorted((ignition, earlier), key=lambda mark: mark.sample_index))
    for sink in WITH_MARKS:
        assert _marks_in(folder, sink, EVERY_SINK[sink]["path"]) == [ignition, earlier, tenth], sink
    # The times are those of the sample with this index.
    with closing(sqlite3.connect(folder / "base.db")) as base:
        times = base.execute(
            "SELECT s.t_mono_ns, s.t_utc_ns FROM marks m JOIN samples s USING (run, sample_index) WHERE label = 'tenth'"
        ).fetchall()
    assert times == [(tenth.t_mono_ns, tenth.t_utc_ns)]
    assert lab.dtopipe("verify", str(folder)).code == 0


def test_other_programs_find_the_marks_in_columns_and_arrays(lab: Any) -> None:
    import h5py
    import pyarrow.parquet as pq

    running = lab.start(counter_topology(2) | {"sinks": {name: EVERY_SINK[name] for name in ("columns", "arrays")}})
    running.wait_for_samples("columns", 500)
    mark = _mark(lab, "ignition")
    running.interrupt()
    assert running.finish().code == 0
    told = json.loads(pq.read_schema(lab.run_folder / "columns.parquet").metadata[b"dtopipe"])["marks"]
    assert told == [mark.to_json()]
    with h5py.File(lab.run_folder / "arrays.h5") as file:
        assert file["marks/label"].asstr()[:].tolist() == ["ignition"]
        assert file["marks/sample_index"][:].tolist() == [mark.sample_index]


def test_marks_come_to_a_sink_that_was_dead_and_to_one_that_was_attached_later(lab: Any) -> None:
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"sinks": {n: EVERY_SINK[n] for n in ("raw", "base")}}
    running = lab.start(topology)
    running.wait_for_samples("base", 500)
    running.kill("base")
    first = _mark(lab, "while it is dead")
    running.wait_until("ready", "base", times=2)
    attached = lab.dtopipe("attach", "--sink", "sqlite", "--name", "late", "--path", str(lab.folder / "late.db"))
    assert attached.code == 0, attached.stderr
    second = _mark(lab, "while both are there")
    running.kill("base")
    running.wait_until("ready", "base", times=3)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    for path in (lab.run_folder / "base.db", lab.folder / "late.db"):
        assert _marks_in(lab.run_folder, "base", str(path)) == [first, second]


def test_marks_survive_a_kill_of_everybody_and_come_with_repair_and_convert(lab: Any) -> None:
    sinks = {name: EVERY_SINK[name] for name in WITH_MARKS}
    running = lab.start(counter_topology(2, 20, rate_hz=2000.0) | {"sinks": sinks})
    running.wait_for_samples("columns", 500)
    mark = _mark(lab, "the last moment")
    for process in (*sinks, "acquirer"):
        running.pause(process)
    for process in (*sinks, "acquirer"):
        running.kill(process)
    running.kill_supervisor()
    lab.wait_for_the_end_of_all()
    folder = lab.run_folder
    assert marks_of(folder) == (mark,)
    repaired = lab.dtopipe("repair", str(folder))
    assert repaired.code in (0, 3), repaired.stderr
    for sink in sinks:
        assert _marks_in(folder, sink, sinks[sink]["path"]) == [mark], sink
    for sink, path in (("base", "again.db"), ("columns", "again.parquet"), ("raw", "again.dt-raw")):
        kind = sinks[sink]["type"]
        for source in (str(folder), str(folder / "raw.dt-raw")):
            made = lab.dtopipe("convert", source, "--to", kind, "--path", path, "--on-exists", "overwrite")
            assert made.code == 0, made.stderr
            assert _marks_in(lab.folder, sink, path) == [mark], (sink, source)
    assert lab.dtopipe("verify", str(folder)).code == 0


def test_a_moment_outside_of_the_run_is_refused_with_the_way_out(lab: Any) -> None:
    running = lab.start(counter_topology(1) | {"sinks": {"raw": EVERY_SINK["raw"]}})
    running.wait_for_samples("raw", 100)
    for at in ("-1h", "99999999", "yesterday", "2001-01-01T00:00:00Z", "2001-01-01T00:00:00"):
        refused = lab.dtopipe("mark", "x", "--at", at)
        assert refused.code == 2
        assert len(refused.stderr.splitlines()) == 2, refused.stderr
    running.interrupt()
    assert running.finish().code == 0
    assert marks_of(lab.run_folder) == ()


def test_a_run_that_ended_takes_no_mark(lab: Any) -> None:
    assert lab.up(counter_topology(1) | {"sinks": {"raw": EVERY_SINK["raw"]}, "duration": "200ms"}).code == 0
    events = (lab.run_folder / "events.jsonl").read_bytes()
    refused = lab.dtopipe("mark", "late", "lab")
    assert refused.code == 2
    assert "is over" in refused.stderr
    assert "dtopipe meta" in refused.stderr
    assert (lab.run_folder / "events.jsonl").read_bytes() == events


def test_a_mark_that_was_confirmed_at_the_very_end_is_in_every_output(lab: Any) -> None:
    """The board ends by itself at any instant between two marks."""
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"duration": "1s"}
    running = lab.start(topology | {"sinks": {name: EVERY_SINK[name] for name in WITH_MARKS}})
    running.wait_for_samples(WITH_MARKS[0], 1)
    confirmed: list[Mark] = []
    with contextlib.suppress(RunOver), run_in_progress("lab", run_dir=lab.folder / "runs") as run:
        while True:
            confirmed.append(run.mark(f"number {len(confirmed)}"))
            run.reading("balance", mass=len(confirmed))
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    folder = lab.run_folder
    assert len(confirmed) > 10
    assert sorted(marks_of(folder), key=lambda mark: mark.number) == confirmed
    assert max(mark.sample_index for mark in confirmed) < ended.json["acquired"]["end_sample_index"]
    for sink in WITH_MARKS:
        assert _marks_in(folder, sink, EVERY_SINK[sink]["path"]) == confirmed, sink
    with closing(sqlite3.connect(folder / "base.db")) as base:
        (n_readings,) = base.execute("SELECT count(*) FROM readings").fetchone()
    assert n_readings == len(list(readings_of(folder)))


def test_an_output_that_lacks_a_mark_is_named_and_mended(lab: Any) -> None:
    sinks = {name: EVERY_SINK[name] for name in WITH_MARKS}
    running = lab.start(counter_topology(2) | {"sinks": sinks})
    running.wait_for_samples("raw", 200)
    first = _mark(lab, "ignition")
    running.interrupt()
    assert running.finish().code == 0
    folder = lab.run_folder
    assert lab.dtopipe("verify", str(folder)).code == 0
    # As if it had been told to the run, and not to its outputs.
    second = replace(first, number=2, label="told to nobody")
    with (folder / "events.jsonl").open("a") as events:
        events.write(json.dumps(mark_line(second, "2026-11-29T12:00:00Z")) + "\n")
    seen = lab.dtopipe("verify", str(folder), "--json")
    assert seen.code != 0
    lacking = [output["name"] for output in seen.json["outputs"] if "lacks 1 of the run's 2 marks" in str(output)]
    assert lacking == list(sinks)
    assert lab.dtopipe("repair", str(folder)).code == 0
    for sink in WITH_MARKS:
        assert _marks_in(folder, sink, EVERY_SINK[sink]["path"]) == [first, second], sink
    assert lab.dtopipe("verify", str(folder)).code == 0
