"""Limits and commands in words: in the live table, and where a topology is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dtopipe.cli.limit_lines import limit_lines
from dtopipe.cli.main import main
from dtopipe.core.limit_words import Lasting, LimitOutcome
from dtopipe.model.clock import utc_ns
from dtopipe.model.limits import Side

STARTED = "2026-11-22T12:00:00+00:00"
TC1 = LimitOutcome("tc1", Side.HIGH, 900.0, "degC", 1, 3.2, 955.0, utc_ns("2026-11-22T12:03:04.5Z"))


def lines(**status: Any) -> list[str]:
    return [line.plain for line in limit_lines(status)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "tc1 above 900 degC for 3.2 s at 12:03:04Z"),
        ({"is_to_end": True}, "tc1 above 900 degC for 3.2 s at 12:03:04Z, to the end"),
        ({"crossings": 1400}, "tc1 above 900 degC 1,400 times, for 3.2 s in all, the first at 12:03:04Z"),
        ({"side": Side.LOW, "unit": "", "limit": -1234567.5}, "tc1 below -1234567.5 for 3.2 s at 12:03:04Z"),
        ({"first_utc_ns": utc_ns("2026-11-23T00:00:01Z")}, "tc1 above 900 degC for 3.2 s at 2026-11-23T00:00:01Z"),
        ({"outside_s": 0.0, "lasting": Lasting(1, 0, 7200.0)}, "tc1 above 900 degC for 2.0 h at 12:03:04Z, to the end"),
        ({"crossings": 0}, ""),
    ],
)
def test_what_a_limit_came_to(changes: dict[str, Any], said: str) -> None:
    facts = {name: getattr(TC1, name) for name in TC1.__slots__} | changes
    assert LimitOutcome(**facts).words(STARTED) == said


def test_a_table_says_what_is_crossed_now_and_what_was() -> None:
    watcher = {"state": "running", "condition": "running", "restarts": 0}
    limits = {"watcher": watcher, "now": ["a", "b"], "over": list("cdefghij"), "more": 3}
    assert lines(limits=limits) == [*"ab", *"cdefgh", "5 more limits were crossed"]
    assert limit_lines({"limits": limits})[0].style == "bold red"
    assert lines() == lines(limits={**limits, "now": [], "over": [], "more": 0}) == []


def test_a_table_says_that_nobody_watches_and_which_command_fails() -> None:
    watcher = {"state": "gave_up", "condition": "gave_up", "failure": "no memory\x1b[2J"}
    said = "limits were not watched for 5 samples, 5 ms"
    limits = {"watcher": watcher, "now": [], "over": [], "more": 0, "not_watched": said}
    on = {"limit": {"command": ["notify", "x"], "trouble": "ended with exit code 3"}, "start": {"command": ["lamp"]}}
    assert lines(limits=limits, on=on) == [
        "limits are not watched: gave_up: no memory\\x1b[2J",
        said,
        "on limit: notify ended with exit code 3: see logs/on.limit.log",
    ]


def test_check_shows_limits_and_which_program_each_command_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lamp = tmp_path / "lamp"
    lamp.write_text("#!/bin/sh\n")
    lamp.chmod(0o700)
    Path("t.yaml").write_text(
        "board: {type: simulated}\ntask: {rate_hz: 10, channels: [{name: flux}]}\n"
        "sinks: {t: {type: csv, path: t.csv}}\n"
        "limits: {flux: {high: 5, low: -5.5, for: 2s, unit: V}}\non: {limit: [./lamp, a b]}\n"
    )
    ended = CliRunner().invoke(main, ["check", "t.yaml"])
    assert ended.exit_code == 0, ended.output
    text = " ".join(ended.output.split())
    assert "flux: above 5 V or below -5.5 V for 2s" in text
    assert "on limit: " in text
    document = json.loads(CliRunner().invoke(main, ["check", "t.yaml", "--json"]).output)
    assert document["limits"] == [{"channel": "flux", "high": 5.0, "low": -5.5, "for_s": 2.0, "unit": "V"}]
    assert document["on"] == {"limit": {"program": str(lamp), "argv": ["./lamp", "a b"]}}
