"""Names and words of others reach the terminal as text."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dtopipe.cli.console import Console
from dtopipe.cli.live_table import status_table

Dtopipe = Callable[..., Any]
EVIL = "\x1b[31mred\x07\nGOOD  everything\u202e [bold]x[/bold] [/] [link=http://x]y[/link] :boom:"
SHOWN = r"\x1b[31mred\x07"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _with(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))


def _spoilt(record: dict[str, Any]) -> None:
    record["verdict"]["text"] = EVIL
    record["sinks"]["text"]["state"] = "gave_up"
    record["sinks"]["text"]["failure"] = EVIL
    record["sinks"]["lines"]["state"] = EVIL
    told = dict.fromkeys(("process", "call", "since", "until"), EVIL)
    record["limited"] = [told | {"how": "lags", "for_s": 1.0}, EVIL, told | {"how": EVIL, "for_s": 2.0}]
    record["stream"]["device"] = record["stream"]["channels"][0]["name"] = EVIL


@pytest.mark.parametrize("command", ["runs", "status", "why", "verify", "repair", "stop"])
def test_what_would_steer_the_terminal_is_shown(dtopipe: Dtopipe, run: Path, command: str) -> None:
    _with(run, _spoilt)
    words = [] if command == "runs" else [run]
    told = dtopipe(command, *words, "--run-dir", run.parents[1])
    assert not isinstance(told.exception, Exception) or isinstance(told.exception, SystemExit), told.exception
    assert not STEERING.search(told.output), told.output
    assert "\nGOOD  everything" not in told.output
    if command in ("status", "why", "stop"):
        assert SHOWN in told.output.replace("\n", "")
        assert "[bold]x[/bold] [/] [link=http://x]y[/link] :boom:" in " ".join(told.output.split())


@pytest.mark.parametrize("command", ["runs", "status", "why", "verify"])
def test_json_has_the_same_text_in_escapes(dtopipe: Dtopipe, run: Path, command: str) -> None:
    _with(run, _spoilt)
    words = [] if command == "runs" else [run]
    told = dtopipe(command, *words, "--run-dir", run.parents[1], "--json")
    assert not STEERING.search(told.stdout)
    assert r"\u202e" in told.stdout
    json.loads(told.stdout)


def test_an_error_that_has_a_name_in_it_is_one_message(dtopipe: Dtopipe, run: Path) -> None:
    _with(run, lambda record: record["topology"]["sinks"]["text"].update(channels=[EVIL]))
    told = dtopipe("verify", run)
    assert told.exit_code == 2
    assert not STEERING.search(told.output)
    assert all(line.startswith(("dtopipe: ", "    ")) for line in told.stderr.splitlines())


def test_the_name_in_a_raw_file_is_shown(dtopipe: Dtopipe, run: Path) -> None:
    path = run / "archive.dt-raw"
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    header["device"], header["channels"][0]["name"] = EVIL, EVIL
    header["dtype"] = EVIL
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<I", len(text)) + text + data[4 + length :])
    told = dtopipe("convert", path, "--to", "csv", "--path", run.parent / "new.csv")
    assert told.exit_code in (1, 2)
    assert not STEERING.search(told.output)


def test_the_live_table_shows_what_a_served_run_says(capsys: pytest.CaptureFixture[str]) -> None:
    status = {
        "name": EVIL, "phase": "running", "simulated": False, "folder": EVIL, "sinks": {},
        "board": {"device": EVIL, "type": "remote", "state": f"away: {EVIL}", "condition": "away", "why": EVIL,
        "rate_hz": 1.0, "rate_nominal_hz": 1.0,
                  "overrun_samples": 0, "end_sample_index": 5},
        "listen": {"endpoint": EVIL, "failure": EVIL, "remotes": [
            {"name": EVIL, "label": EVIL, "address": EVIL, "id": EVIL, "sent": 1, "policy": "block", "durable": 1,
             "gaps": 0, "away": False}]},
        "disks": [{"folder": EVIL, "warning": EVIL}], "ended_early": EVIL,
        "subscribers": [{"program": EVIL, "pid": 1, "policy": EVIL, "lag_s": 1.0}],
    }  # fmt: skip
    Console().print(status_table(status))
    told = capsys.readouterr().out
    assert not STEERING.search(told), told
    assert SHOWN in told.replace("\n", "")


def test_a_terminal_is_sent_our_own_styles_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = Console()
    with console.capture() as captured:
        console.print(EVIL, style="bold", highlight=False)
    assert "\x1b[1m" in captured.get()
    assert r"\x1b[31mred" in captured.get()
    assert "\x1b]8;" not in captured.get()
