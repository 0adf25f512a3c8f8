"""The parts of the page that need no run: addresses, bins, tails, judgements."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import SINKS, edit_record, record_run

from dtopipe.host.http_address import address_of, listening_socket
from dtopipe.host.run_lock import RunLock
from dtopipe.model.errors import UsageError
from dtopipe.web.bins import BinHistory, BinReducer
from dtopipe.web.event_tail import LineTail
from dtopipe.web.frames import bins_frame
from dtopipe.web.judgement import Tone, judgement_of_record, judgement_of_status
from dtopipe.web.watched import WatchedFolder


def test_a_port_alone_is_this_machines() -> None:
    assert address_of("8080").is_loopback
    assert address_of("[::1]:8080").is_loopback
    assert address_of("localhost:8080").is_loopback
    assert not address_of("0.0.0.0:8080").is_loopback
    assert not address_of("10.0.0.1:8080").is_loopback
    assert address_of("8080").url("t123") == "http://127.0.0.1:8080/?token=t123"


@pytest.mark.parametrize("text", ["", "x", "70000", "host:", ":80", "a b:80", "http://x:80", "host:80/path"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"\[HOST:\]PORT"):
        address_of(text)


def test_a_taken_port_is_named_before_anything_starts() -> None:
    with listening_socket(address_of("0")) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot be served at 127.0.0.1:{port}"):
            listening_socket(address_of(str(port)))


@given(
    bin_samples=st.integers(1, 7),
    parts=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_no_spike_is_hidden_in_a_bin(bin_samples: int, parts: list[tuple[int, int]], seed: int) -> None:
    """Every sample that came is within its bin, however the blocks were cut and whatever is absent between them."""
    random = np.random.default_rng(seed)
    reducer, history = BinReducer(bin_samples), BinHistory(2, 1000)
    at, known = 0, {}
    for hole, n in parts:
        at += hole
        values = random.normal(size=(2, n))
        known.update({at + i: values[:, i] for i in range(n)})
        for bins in reducer.add(at, values):
            history.add(bins)
        at += n
    start, low, high = history.part(0, 1000)
    for number in range(low.shape[1]):
        own = [
            known[i] for i in range((start + number) * bin_samples, (start + number + 1) * bin_samples) if i in known
        ]
        expected = np.stack(own, axis=1).astype(np.float32) if own else np.full((2, 1), np.nan, np.float32)
        np.testing.assert_array_equal(low[:, number], expected.min(axis=1))
        np.testing.assert_array_equal(high[:, number], expected.max(axis=1))


def test_history_keeps_the_newest_and_a_long_hole_is_empty() -> None:
    reducer, history = BinReducer(1), BinHistory(1, 10)
    for first in (0, 6, 1_000_000):
        for bins in reducer.add(first, np.full((1, 4), float(first))):
            history.add(bins)
    start, low, _ = history.part(0, 100)
    assert (start, history.stop) == (999_994, 1_000_004)
    assert np.isnan(low[0, :6]).all()
    assert (low[0, 6:] == 1_000_000).all()


def test_a_frame_is_as_the_page_reads_it() -> None:
    low, high = np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 6], [7, 8]], np.float32)
    frame = bins_frame(7, low, high, 99)
    assert struct.unpack_from("<4sIIIdd", frame) == (b"DTB1", 2, 2, 0, 7.0, 99.0)
    assert np.frombuffer(frame, "<f4", offset=32).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_tail_takes_whole_lines_once_and_passes_over_damage(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = LineTail(path, 40)
    assert tail.take() == []
    path.write_text('{"a": 1}\nno json\n[1]\n{"b"')
    assert tail.take() == [{"a": 1}]
    with path.open("a") as file:
        file.write(": 2}\n")
    assert tail.take() == [{"b": 2}]
    assert tail.take() == []


def test_a_tail_keeps_what_is_wanted_whatever_stands_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "gaps.jsonl"
    nested = "[" * 100_000
    path.write_text('{"sink": null}\n' + f"{nested}\n" + '{"sink": "table"}\n' * 60)
    assert LineTail(path, 40, lambda gap: gap["sink"] is None).take() == [{"sink": None}]


def _status(**changes: Any) -> dict[str, Any]:
    board = {
        "type": "simulated", "condition": "running", "state": "running", "channels": 2, "rate_hz": 1000.0,
        "rate_nominal_hz": 1000.0, "overrun_samples": 0, **changes.pop("board", {}),
    }  # fmt: skip
    sink = {
        "type": "csv", "policy": "block", "state": "running", "condition": "running", "lag_s": 0.2, "gaps": 0,
        "dropped": 0, "committed": 0, **changes.pop("sink", {}),
    }  # fmt: skip
    return {"phase": "running", "board": board, "sinks": {"table": sink}, **changes}


@pytest.mark.parametrize(
    ("changes", "word", "tone", "recording", "lost", "slow"),
    [
        ({}, "RECORDING", Tone.GOOD, "yes", "no", "nobody"),
        ({"sink": {"lag_s": 9.5}}, "RECORDING", Tone.GOOD, "yes", "no", "table"),
        ({"sink": {"policy": "drop_oldest", "gaps": 7, "dropped": 7}}, "RECORDING", Tone.GOOD, "yes", "no", "nobody"),
        ({"board": {"overrun_samples": 30}, "sink": {"gaps": 30}}, "SAMPLES LOST", Tone.BAD, "yes", "yes", "nobody"),
        ({"sink": {"gaps": 5}}, "SAMPLES LOST", Tone.BAD, "yes", "yes", "nobody"),
        ({"sink": {"condition": "gave_up", "state": "gave_up"}}, "SAMPLES LOST", Tone.BAD, "yes", "yes", "table"),
        ({"sink": {"condition": "away", "state": "away"}}, "RECORDING", Tone.GOOD, "yes", "no", "table"),
        (
            {"board": {"condition": "silent", "state": "silent: since 12:00", "why": "since 12:00"}},
            "BOARD SILENT", Tone.BAD, "no", "not known", "the board",
        ),
        (
            {"board": {"condition": "hung", "state": "stopped in idle for 3 s"}},
            "BOARD HANGS", Tone.BAD, "no", "not known", "the acquirer",
        ),
        (
            {"board": {"condition": "waiting", "state": "waiting for table"}},
            "RECORDING", Tone.GOOD, "it waits", "no", "table",
        ),
        ({"phase": "draining"}, "ENDING", Tone.GOOD, "ending", "no", "nobody"),
    ],
)  # fmt: skip
def test_one_light_and_three_answers(
    changes: dict[str, Any], word: str, tone: Tone, recording: str, lost: str, slow: str
) -> None:
    found = judgement_of_status(_status(**changes))
    assert (found.light.word, found.light.tone) == (word, tone)
    assert (found.recording.word, found.lost.word, found.slow.word) == (recording, lost, slow)
    assert json.dumps(found.facts())


def test_an_output_that_gave_up_beside_others_is_named_with_what_to_type() -> None:
    status = _status(sink={"condition": "gave_up", "state": "gave_up", "failure": "disk full", "committed": 700})
    status["sinks"]["archive"] = _status()["sinks"]["table"]
    found = judgement_of_status(status)
    assert (found.light.word, found.lost.word, found.lost.tone) == ("OUTPUT FAILED", "only in table", Tone.WARNING)
    assert found.light.text == "table: disk full. Revive it with: dtopipe restart table"
    assert (
        found.lost.text == "table has nothing from sample 700 (0.7 s) on (disk full); the other outputs lack nothing."
    )


@pytest.mark.parametrize(
    ("gaps", "changes", "said"),
    [
        ([], {}, "taken from the board."),
        ([{"stop": 40}, {"stop": 90_000}], {}, "taken from the board, the last of them 10 s ago."),
        ([{"stop": 90_000}], {"end_sample_index": 7_290_000}, ", the last of them 2.0 h ago."),
        ([{"stop": 90_000}], {"end_sample_index": 390_000}, ", the last of them 5 min ago."),
        ([{"stop": 99_000}], {}, ", and it goes on."),
        # The newest gap may be younger than the status.
        ([{"stop": 101_000}], {}, ", and it goes on."),
        ([{"stop": 90_000}], {"samples_per_block": 5_000}, ", and it goes on."),
        ([{"stop": 99_000}], {"rate_nominal_hz": None}, "taken from the board."),
        # A line of a stranger's.
        ([{"stop": "here"}], {}, "taken from the board."),
        ([{}], {}, "taken from the board."),
    ],
)  # fmt: skip
def test_a_loss_tells_when_it_was(gaps: list[dict[str, Any]], changes: dict[str, Any], said: str) -> None:
    board = {"overrun_samples": 30, "end_sample_index": 100_000, **changes}
    found = judgement_of_status(_status(board=board, sink={"gaps": 30}), gaps)
    assert found.lost.word == "yes"
    assert found.lost.text.endswith(said)
    assert found.light.text == found.lost.text


@pytest.mark.parametrize(
    ("headroom", "overruns", "word"),
    [
        ({}, 0, "it waits"),
        ({}, 30, "not now"),
        ({"board": {"left_s": 0.4, "of_s": 0.8}}, 30, "it waits"),
        ({"board": {"left_s": 0.0, "of_s": 0.8}}, 0, "not now"),
    ],
)
def test_a_board_that_waits_without_room_records_nothing(headroom: dict[str, Any], overruns: int, word: str) -> None:
    board = {"condition": "waiting", "state": "waiting for table", "overrun_samples": overruns}
    found = judgement_of_status(_status(board=board, headroom=headroom))
    is_losing = word == "not now"
    assert (found.recording.word, found.slow.word) == (word, "table")
    assert found.recording.tone is (Tone.BAD if is_losing else Tone.WARNING)
    assert (found.lost.word == "yes") == (is_losing or bool(overruns))
    assert (found.light.word == "SAMPLES LOST") == (is_losing or bool(overruns))
    # No answer contradicts another one.
    assert "Nothing is lost" not in found.light.text or not is_losing
    assert found.recording.text in found.light.text
    if overruns and is_losing:
        assert ", and it goes on" in found.lost.text


@pytest.mark.parametrize(
    ("condition", "slow"), [("silent", "the board"), ("away", "the board"), ("hung", "the acquirer")]
)
def test_what_a_board_measures_that_is_not_heard_is_not_known(condition: str, slow: str) -> None:
    found = judgement_of_status(_status(board={"condition": condition, "state": "still for 3 s"}))
    assert (found.lost.word, found.lost.tone) == ("not known", Tone.WARNING)
    assert (found.slow.word, found.slow.tone) == (slow, Tone.BAD)
    assert "still for 3 s" in found.slow.text
    lost = judgement_of_status(_status(board={"condition": condition, "overrun_samples": 5}))
    assert lost.lost.word == "yes"


@pytest.mark.parametrize(
    "changes",
    [
        {"sink": {"lag_s": 9.5}},
        {"sink": {"condition": "away", "state": "away"}},
        {"board": {"condition": "silent", "state": "silent"}},
        {"board": {"condition": "hung", "state": "stopped"}},
        {"board": {"condition": "waiting", "state": "waiting for table"}},
    ],
)
def test_who_is_slow_comes_with_what_to_type(changes: dict[str, Any]) -> None:
    assert judgement_of_status(_status(**changes, name="heat flux")).slow.text.endswith("dtopipe why 'heat flux'")
    assert "why" not in judgement_of_status(_status(name="heat flux")).slow.text


def test_an_ended_run_shows_its_verdict() -> None:
    record = {"verdict": {"state": "DEGRADED", "text": "table gave up"}, "sinks": {}, "acquired": {"samples": 5}}
    found = judgement_of_record(record)
    assert (found.light.word, found.light.text, found.light.tone) == ("DEGRADED", "table gave up", Tone.BAD)
    assert (found.recording.word, found.recording.text) == ("finished", "5 samples per channel.")
    helped = judgement_of_record(record, "complete it with: dtopipe repair heat")
    assert helped.light.text == "table gave up\nComplete it with: dtopipe repair heat"
    lost = {**record, "acquired": {"samples": 5, "overrun_samples": 3000}, "stream": {"rate_hz": 2000.0}}
    assert judgement_of_record(lost).lost.text.startswith("3,000 samples (1.5 s) were lost")
    aborted = judgement_of_record({**record, "verdict": {"state": "ABORTED", "text": "no board"}})
    assert (aborted.recording.word, aborted.recording.tone) == ("broken off", Tone.BAD)
    killed = judgement_of_record({**record, "verdict": None}, run="heat/20261130T120000Z")
    assert killed.light.text.endswith("Complete its record with: dtopipe repair heat/20261130T120000Z")
    assert (killed.light.word, killed.lost.word, killed.lost.tone) == ("INTERRUPTED", "not known", Tone.WARNING)


def test_a_run_whose_topology_cannot_be_read_shows_its_verdict_all_the_same(tmp_path: Path) -> None:
    folder = record_run(tmp_path / "lab" / "20261123T090000Z", {"archive": SINKS["archive"]})
    edit_record(folder, lambda record: record["verdict"].update(state="DEGRADED", text="lost", repair="helps"))
    watched = WatchedFolder(folder)
    watched.look()
    assert "\nComplete it with: dtopipe repair" in watched.state()["judgement"]["light"]["text"]
    (folder / "topology.yaml").write_text("sinks: [")
    edit_record(folder, lambda record: record["verdict"].update(text="more is lost"))
    watched.look()
    assert watched.state()["judgement"]["light"]["text"].startswith("more is lost")
    watched.close()


def test_a_run_that_nobody_here_can_ask_says_so_until_it_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "heat" / "20261129T000000Z"
    folder.mkdir(parents=True)
    record = {
        "run_id": "heat", "name": "heat", "started_at": "2026-11-29T00:00:00+00:00", "host": {"name": "lab-pc"},
        "topology": {"name": "heat", "board": {"type": "simulated"}, "sinks": {}}, "sinks": {}, "verdict": None,
        "acquired": {"blocks": 0, "samples": 0, "overrun_samples": 0, "end_sample_index": 0},
        "clock": {"rate_nominal_hz": None},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    lock = RunLock(folder)
    lock.hold("heat", tmp_path / "entry")
    watched = WatchedFolder(folder)
    try:
        watched.look()
        assert (watched.state()["trouble"], watched.state()["judgement"]) == ("in progress", None)
        lock.release()
        (folder / "run.lock").unlink()
        watched.look()
        assert watched.state()["trouble"] == ""
        assert watched.state()["judgement"]["light"]["word"] == "INTERRUPTED"
    finally:
        lock.release()
        watched.close()
