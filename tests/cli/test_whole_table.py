"""Tables in narrow terminals and in pipes: no number and no name is ever cut."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import ConsoleDimensions
from rich.text import Text

from dtopipe.cli.channel_lines import ChannelLines
from dtopipe.cli.console import Console
from dtopipe.cli.fitted_status import FittedStatus
from dtopipe.cli.live_table import status_table
from dtopipe.cli.live_view import LiveView
from dtopipe.cli.verdict_text import outputs_table
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.model.newest import NewestValue, NewestValues

REASON = "the disk is full (SQLite: database or disk is full), and this goes on for much longer than a line is wide"
NUMBERS = ("98.77 kS/s", "12345.6 s", "123,456,789 gap", "9,876,543,210", "98,765,432,100", "1,234,567 overrun")


def _sink(**own: Any) -> dict[str, Any]:
    return {
        "type": "sqlite", "policy": "block", "path": "/mnt/a/share/of/the/laboratory/with/a/long/name/table.db",
        "state": "running", "rate_hz": 98765.4, "lag_s": 12345.6, "gaps": 123456789, "dropped": 0,
        "committed": 9876543210, "samples": 1234567890, "restarts": 3, **own,
    }  # fmt: skip


def _status() -> dict[str, Any]:
    return {
        "name": "heat-flux", "phase": "running", "folder": "/x/runs/heat-flux/20261122T234100Z", "simulated": True,
        "duration_s": None, "headroom_s": 3.2,
        "board": {
            "type": "simulated", "device": "Box", "state": "away: no route to host",
            "condition": "away", "why": "no route to host", "rate_hz": 98000.0,
            "overrun_samples": 1234567, "end_sample_index": 98765432100, "rate_nominal_hz": 1e5,
        },
        "sinks": {
            "archive": _sink(type="hbuf"),
            "table": _sink(state="away", failure=f"{REASON}\nfree some space"),
            "view_of_the_laboratory": _sink(policy="drop_oldest", state="hung in commit for 12 s"),
        },
    }  # fmt: skip


@pytest.fixture
def on_screen(capsys: pytest.CaptureFixture[str]) -> Any:
    def shown(what: Any, width: int | None) -> str:
        console = Console()
        if width is not None:
            console.width = width
        console.print(what)
        return capsys.readouterr().out

    return shown


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, None])
def test_no_number_of_the_live_table_is_cut_and_the_reason_stands_whole(on_screen: Any, width: int | None) -> None:
    text = on_screen(status_table(_status()), width)
    words = " ".join(text.split())
    for number in NUMBERS:
        assert number in words
    assert f"table: {REASON} free some space" in words
    assert "board: no route to host" in words
    assert "…" not in text
    assert all(len(line) <= (width or 200) for line in text.splitlines())


@pytest.mark.parametrize("width", [30, 50, 80, 120, None])
def test_no_number_of_the_outputs_is_cut(on_screen: Any, width: int | None) -> None:
    words = " ".join(on_screen(outputs_table({"sinks": _status()["sinks"]}), width).split())
    for word in ("1,234,567,890", "123,456,789", "view_of_the_laboratory"):
        assert word in words
    assert "…" not in words


def _runs() -> WholeTable:
    table = WholeTable()
    table.add_column("run")
    table.add_column("started", is_spare=True)
    table.add_numbers("samples")
    table.add_column("verdict", keeps=Keeps.LETTERS)
    table.add_row(
        "heat-flux/20261122T234100Z", "2026-11-22T23:41:00Z", "1,234,567", "INCOMPLETE  table lacks 1000 of 1234567"
    )
    return table


def test_a_column_that_is_spare_gives_way_before_a_table_becomes_lines(on_screen: Any) -> None:
    assert "2026-11-22" in on_screen(_runs(), 100)
    at_80 = on_screen(_runs(), 80)
    assert "heat-flux/20261122T234100Z" in at_80
    assert "2026-11-22" not in at_80
    assert "table lacks" in at_80
    assert on_screen(_runs(), 40).splitlines()[0] == "heat-flux/20261122T234100Z"


def test_what_is_piped_has_a_line_for_each_row(on_screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    (line,) = [line for line in on_screen(_runs(), None).splitlines() if "heat-flux" in line]
    assert line.split() == [
        "heat-flux/20261122T234100Z", "2026-11-22T23:41:00Z", "1,234,567", "INCOMPLETE", "table", "lacks", "1000",
        "of", "1234567",
    ]  # fmt: skip


def test_a_run_that_is_ending_says_what_asking_again_does(on_screen: Any) -> None:
    ending = _status() | {"phase": "draining", "ended_by": {"by": "ctrl_c", "text": "Ctrl-C"}}
    assert "Ctrl-C again ends it without waiting for slow sinks" in on_screen(status_table(ending), 120)
    assert "stop --now" in on_screen(status_table(ending | {"ended_by": {"by": "stop", "text": "stop"}}), 120)
    assert "hurried" in on_screen(status_table(ending | {"hurried": True}), 120)
    assert "Ctrl-C" not in on_screen(status_table(_status()), 120)


def test_what_becomes_of_a_sink_that_died_is_said_with_what_to_type(on_screen: Any) -> None:
    ill = {
        "table": _sink(state="restarting", failure="its process was killed by SIGKILL", restarts=2),
        "my view": _sink(state="gave_up", failure="gave up after 6 failures in 12 s: no such column"),
    }
    running = on_screen(status_table(_status() | {"sinks": ill}), 200)
    assert "table: its process was killed by SIGKILL; it is started again (restart 3)" in running
    assert "no such column; mend it, then type: dtopipe restart 'my view' heat-flux" in running
    # Once the run ends there is nothing to restart: the verdict says what to type.
    assert "restart 'my view'" not in on_screen(status_table(_status() | {"sinks": ill, "phase": "draining"}), 200)


def test_who_was_served_and_has_everything_is_not_nobody(on_screen: Any) -> None:
    listen = {"endpoint": "tcp://0.0.0.0:5700", "remotes": [], "former": {"office": "has everything"}}
    text = on_screen(status_table(_status() | {"listen": listen}), 120)
    assert "serving tcp://0.0.0.0:5700: office has everything" in text
    assert "nobody yet" in on_screen(status_table(_status() | {"listen": listen | {"former": {}}}), 120)


def _in_a_terminal(status: dict[str, Any], width: int, height: int) -> list[str]:
    """What a live view leaves on the screen: rich cuts off what has no room."""
    console = Console()
    console.size = ConsoleDimensions(width, height)
    lines = console.render_lines(FittedStatus(status), console.options, pad=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 12), (120, 15), (50, 30)])
def test_a_table_that_is_higher_than_the_terminal_counts_who_is_well_and_shows_who_is_not(
    width: int, height: int
) -> None:
    well = {f"copy{number}": _sink(gaps=0, lag_s=number / 2) for number in range(40)}
    status = _status() | {"sinks": {**well, "table": _sink(state="away", failure="the disk is full")}}
    status["board"] |= {"state": "running", "condition": "running", "why": ""}
    lines = _in_a_terminal(status, width, height)
    assert len(lines) <= height
    text = " ".join(" ".join(lines).split())
    assert "table: the disk is full" in text
    assert "123,456,789 gap" in text
    assert "without trouble, at most 19.5 s behind" in text
    assert "headroom 3.2 s" in text


def test_more_troubles_than_the_terminal_has_lines_say_where_the_rest_is() -> None:
    ill = {f"copy{number}": _sink(state="away", failure="the disk is full") for number in range(40)}
    lines = _in_a_terminal(_status() | {"sinks": ill}, 80, 24)
    assert len(lines) == 24
    assert lines[-1].endswith("more lines: dtopipe status shows all")


def test_a_table_that_fits_is_shown_whole(on_screen: Any) -> None:
    assert [line.rstrip() for line in on_screen(status_table(_status()), 120).splitlines()] == [
        *_in_a_terminal(_status(), 120, 50)
    ]


@pytest.mark.parametrize("height", [8, 16, 24, 60])
def test_channels_take_the_lines_that_the_status_leaves_and_never_more(height: int) -> None:
    columns = tuple(NewestValue(f"ch{number}", "V", 1.5, 1.0, 2.0) for number in range(30))
    channels = ChannelLines()
    status = _status() | {
        "headroom": {"ring": {"left_s": 3.0, "of_s": 4.0}, "journal": {"left_s": 7200.0, "of_s": 8000.0}}, "disks": [],
    }  # fmt: skip
    below = Text("m marks this moment")
    view = LiveView(status, channels, NewestValues(0, 0, columns), {"event": "died", "process": "table"}, below)
    console = Console()
    console.size = ConsoleDimensions(120, height)
    lines = ["".join(part.text for part in line).rstrip() for line in console.render_lines(view, console.options)]
    assert len(lines) <= height
    text = "\n".join(lines)
    assert lines[-1] == "m marks this moment"
    assert ("newest event: table died" in text) == (height > 16)
    assert ("and 2" in text or "and 1" in text) == ("ch0" in text and "ch29" not in text)
    if height == 60:
        assert "ch29" in text
        assert "ring       ███████████████····· 3.0 s\njournal    ██████████████████·· 2.0 h" in text
