"""`run.json` may come from anybody: every value has its type and its range once it was read, or is named."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from dtopipe.host.foreign_record import is_foreign_record
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import UsageError

RUN_ID = "87af7e69-91ed-4aab-b092-a69d2f0a541c"
SINK = {
    "type": "csv", "policy": "block", "path": "text.csv", "state": "done", "start": 0, "stop": 1000, "committed": 1000,
    "durable": 1000, "samples": 900, "gaps": 100, "dropped": 0, "restarts": 0,
}  # fmt: skip
RECORD: dict[str, Any] = {
    "run_id": RUN_ID,
    "name": "lab",
    "versions": {"dtopipe": "0.1.0"},
    "host": {"name": "pc"},
    "started_at": "2026-11-28T19:03:05.574719+00:00",
    "finished_at": "2026-11-28T19:03:06.779762+00:00",
    "metadata": {"operator": "Zoë"},
    "simulated": True,
    "topology": {"name": "lab", "board": {"type": "simulated"}, "sinks": {"text": {"type": "csv", "path": "text.csv"}}},
    "stream": {
        "run_id": RUN_ID, "task": "lab", "device": "simulated", "dtype": "int16", "rate_hz": 1000.0,
        "samples_per_block": 50, "started_at": "2026-11-28T19:03:05.574719+00:00", "metadata": {}, "simulated": True,
        "channels": [{"name": "flux", "unit": "V", "kind": "voltage", "scale": 1.0, "offset": 0.0, "range": [-10, 10],
                      "physical_channel": 0, "details": {}}],
    },
    "clock": {"rate_nominal_hz": 1000.0, "rate_measured_hz": None, "jitter_ms": None},
    "acquired": {"blocks": 20, "samples": 900, "overrun_samples": 100, "end_sample_index": 1000},
    "channels": {"flux": {"min": -5.0, "max": 5.0}},
    "sinks": {"text": SINK},
    "verdict": {"state": "GOOD", "text": "whole in 1 output"},
}  # fmt: skip


def _read(folder: Path, text: str | bytes) -> dict[str, Any]:
    (folder / "run.json").write_bytes(text.encode(errors="surrogatepass") if isinstance(text, str) else text)
    return RunFolder(folder).read_record()


def _with(key: str, value: Any) -> str:
    """The record with this value; without the key, if it is `...`."""
    record = copy.deepcopy(RECORD)
    *above, last = key.split(".")
    part: Any = record
    for step in above:
        part = part[int(step)] if isinstance(part, list) else part[step]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return json.dumps(record)


def test_a_record_of_ours_is_read_as_it_is(tmp_path: Path) -> None:
    assert _read(tmp_path, json.dumps(RECORD)) == RECORD


def test_a_record_of_an_earlier_version_and_one_of_a_later_are_read(tmp_path: Path) -> None:
    for key in ("stream.simulated", "stream.metadata", "stream.channels.0.details", "verdict", "finished_at", "stream"):
        assert _read(tmp_path, _with(key, ...))["run_id"] == RUN_ID
    assert _read(tmp_path, _with("stream", ...))["stream"] is None
    for key in ("later", "sinks.text.later", "stream.later", "topology.later", "acquired.later"):
        assert _read(tmp_path, _with(key, {"of": [1]}))["run_id"] == RUN_ID
    for run_id in ("run-1", "recording-0123", "20261122T234100Z.2"):
        assert _read(tmp_path, _with("run_id", run_id))["run_id"] == run_id


BAD_NUMBERS = [-1, 2**63, 1.5, "1", True, None, [], {}, 10**400]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("run_id", ["", "../x", "a/b", "a\\b", "*", "[a]", "..", ".x", "a" * 101, "a\0b", "a\n", "ä", 5, None, ...]),
        ("name", ["", "../x", "a/b", "..", "a\x1b", "nul", 5, ...]),
        ("started_at", ["yesterday", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59Z", 5, None, ...]),
        ("verdict", ["GOOD", {"state": "GREAT", "text": ""}, {"state": "GOOD"}, {"state": "GOOD", "text": None}]),
        ("clock.rate_nominal_hz", [0, -1.0, 1e10, "fast", True, ...]),
        ("acquired.samples", BAD_NUMBERS),
        ("acquired.end_sample_index", BAD_NUMBERS),
        ("sinks", [None, [], {"../x": SINK}, {"a\nb": SINK}, {"x": 5}]),
        ("sinks.text.type", ["", "a\x1b[31m", 5, None, "jsonl", ...]),
        ("sinks.text.policy", ["drop", "", None, ...]),
        ("sinks.text.state", [5, "x" * 201, None, ...]),
        ("sinks.text.path", ["", 5, [], "x" * 40_000, ...]),
        *((f"sinks.text.{name}", [*BAD_NUMBERS, ...]) for name in ("start", "stop", "committed", "durable", "samples")),
        ("sinks.text.retained_from", [-1, "1"]),
        ("stream.channels", [5, "ab", [5], [{"name": 5}], [{}]]),
        ("stream.channels.0.scale", ["1", None, True, [1]]),
        ("stream.channels.0.range", [[1], 5, [1, "2"], [1, 2, 3]]),
        ("stream.dtype", ["O", "float128", "S10", "<i2", 5, ...]),
        ("stream.rate_hz", [0, -5, 1e12, "1", 1e-30, ...]),
        ("stream.samples_per_block", [-1, 2**40, "1", ...]),
        ("stream.metadata", [5, []]),
        ("topology", [None, [], 5, ...]),
        ("topology.sinks", [5, [], {"text": 5}, {"text": {"type": 5}}]),
        ("topology.sinks.text.layout", ["tall", 5]),
        ("topology.sinks.text.channels", [5, "flux", ["tc"], [5]]),
        ("topology.listen", [5, {"endpoint": 5}]),
        ("topology.board.endpoint", [5]),
    ],
)
def test_what_no_record_has_is_named(tmp_path: Path, key: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=r"run\.json") as caught:
            _read(tmp_path, _with(key, value))
        assert key.split(".")[0] in str(caught.value), value


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "5", "{", b"\xff\xfe{}", "[" * 100_000, '{"a":' * 500 + "1" + "}" * 500, "{}" + " " * (2**26)],
)
def test_what_is_no_record_at_all_is_refused_in_words(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(UsageError, match=r"run\.json"):
        _read(tmp_path, text)


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="half of a character"):
        _read(tmp_path, json.dumps(RECORD).replace("Zo\\u00eb", "Zo\\ud800"))


def test_a_number_that_is_none_is_null_where_it_is_only_kept(tmp_path: Path) -> None:
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        record = _read(tmp_path, json.dumps(RECORD).replace('"max": 5.0', f'"max": {word}'))
        assert record["channels"]["flux"]["max"] is None
        with pytest.raises(UsageError, match=r"stream\.rate_hz"):
            _read(tmp_path, json.dumps(RECORD).replace('"rate_hz": 1000.0', f'"rate_hz": {word}'))


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_record({**RECORD, "channels": {"flux": {"min": float("-inf"), "max": float("nan")}}})
    assert folder.read_record()["channels"] == {"flux": {"min": None, "max": None}}


def test_a_variable_in_the_recorded_topology_stands_for_what_it_stood_for(tmp_path: Path) -> None:
    assert _read(tmp_path, _with("topology.sinks.text.layout", "${LAYOUT:-wide}"))["run_id"] == RUN_ID
    assert _read(tmp_path, _with("topology.sinks.text.channels", ["${CHANNEL}"]))["run_id"] == RUN_ID


def test_a_link_in_a_records_place_is_nobody_elses_record_and_not_looked_at(tmp_path: Path) -> None:
    own = tmp_path / "of_somebody.txt"
    own.write_text('{"loss": 0.1}', encoding="utf-8")
    (tmp_path / "run.json").symlink_to(own)
    assert is_foreign_record(own)
    assert not is_foreign_record(tmp_path / "run.json")
