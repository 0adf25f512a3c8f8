"""Sinks that wait for a trigger, in whole runs: what they have is what their condition says, whoever is killed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, counter_topology, read_wide

RATE_HZ, N_CHANNELS = 2000, 11
# The code of the last channel rises by 21 a sample, and begins anew each 1.56 s.
LEVEL, LIMIT, FOR, PRE, POST = N_CHANNELS - 1, 20_000, 200, 600, 500
TRIGGER: dict[str, Any] = {"when": f"ch{LEVEL} > {LIMIT} for 100ms", "pre": "300ms", "post": "250ms"}
TRIGGER["restart"] = {"max": 20}
KEPT: dict[str, dict[str, Any]] = {
    "table": {"type": "csv", "path": "table.csv", "channels": ["ch1", "ch3"], **TRIGGER},
    "raw": {"type": "hbuf", "path": "raw.dt-raw", **TRIGGER},
    "base": {"type": "sqlite", "path": "base.db", "channels": ["ch1", "ch3"], **TRIGGER},
}
JOURNAL = {"journal": {"type": "hbuf", "path": "journal.dt-raw"}}


def expected(end: int) -> tuple[set[int], list[int]]:
    """The samples around events up to `end`, and where each event begins, by the formula of the board alone."""
    level = counter_codes(N_CHANNELS, 0, end)[LEVEL]
    held, kept, begun, last = 0, set[int](), list[int](), -(POST + 2)
    for index, code in enumerate(level.tolist()):
        held = held + 1 if code > LIMIT else 0
        if held > FOR:
            if index > last + POST + 1:
                begun.append(index)
                kept |= set(range(max(0, index - PRE), index))
            last = index
        if index <= last + POST:
            kept.add(index)
    return kept, begun


def phase_of(index: int) -> str:
    """What a triggered sink does at this sample."""
    slope = 2 * LEVEL + 1
    # From `pre` before the sample at which the condition has held for long enough.
    begin = (LIMIT + 32768 - 257 * LEVEL) / slope + FOR - PRE
    at = (index - begin) % (65536 / slope)
    stop = PRE + (32768 - LIMIT) / slope - FOR
    return "before" if at < PRE else "event" if at < stop else "behind" if at < stop + POST else "quiet"


@pytest.mark.parametrize("journal", [JOURNAL, {}], ids=["with-a-journal", "from-the-ring"])
def test_a_triggered_sink_has_what_is_around_events_however_often_it_is_killed(
    lab: Any, journal: dict[str, Any]
) -> None:
    topology = counter_topology(N_CHANNELS, 20, rate_hz=RATE_HZ) | {"sinks": journal | KEPT, "ring": {"seconds": 8}}
    running = lab.start(topology)
    running.wait_until("running")
    for number, phase in enumerate(("before", "event", "behind")):

        def is_there(phase: str = phase) -> bool:
            status = running.status()
            if status is None or any(status["sinks"][name]["condition"] != "running" for name in KEPT):
                return False
            at = int(status["board"]["end_sample_index"])
            return at > 1000 and phase_of(at) == phase

        lab.wait_for(is_there, f"a sample {phase} an event")
        for name in KEPT:
            running.kill(name)
        for name in KEPT:
            running.wait_until("ready", name, times=number + 2)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    record = ended.json
    end = record["acquired"]["end_sample_index"]
    kept, begun = expected(end)
    assert begun
    codes = counter_codes(N_CHANNELS, 0, end)
    for name, sink in KEPT.items():
        index, values = read_wide(lab.run_folder / sink["path"])
        assert sorted(set(range(end)) - set(index.tolist())) == sorted(set(range(end)) - kept), name
        rows = [1, 3] if "channels" in sink else list(range(N_CHANNELS))
        assert np.array_equal(values, codes[rows][:, index]), name
        told = record["sinks"][name]
        assert (told["samples"], told["gaps"], told["untriggered"]) == (len(kept), end - len(kept), end - len(kept))
        assert (told["events"], told["restarts"]) == (len(begun), 3)
        seen = [line for line in running.events() if line["event"] == "triggered" and line["process"] == name]
        assert [line["sample_index"] for line in seen] == begun
        assert all(line["values"][f"ch{LEVEL}"] > LIMIT for line in seen)
    gaps = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    assert {line["cause"] for line in gaps} == {"not_triggered"}
    # Quiet is told as one, however often it was committed: once between two events.
    assert all(sum(line["sink"] == name for line in gaps) <= len(begun) + 1 for name in KEPT)
    assert lab.dtopipe("verify", "lab").code == 0
    if journal:
        _assert_the_same_is_written_anew(lab)


def _assert_the_same_is_written_anew(lab: Any) -> None:
    before = {name: (lab.run_folder / KEPT[name]["path"]).read_bytes() for name in ("table", "raw")}
    for name in before:
        (lab.run_folder / KEPT[name]["path"]).unlink()
    repaired = lab.dtopipe("repair", "lab", "--json")
    assert repaired.code == 0, repaired.stderr
    assert (lab.run_folder / KEPT["table"]["path"]).read_bytes() == before["table"]
    assert lab.dtopipe("verify", "lab").code == 0
