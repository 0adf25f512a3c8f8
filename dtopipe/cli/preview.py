"""`dtopipe up --preview`: live values in their units, of which nothing is written."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from dtopipe.cli.channel_lines import number_text
from dtopipe.cli.console import Console
from dtopipe.cli.foreground import stop_on_signals
from dtopipe.cli.limit_lines import limit_lines
from dtopipe.cli.live_table import headline
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import UsageError
from dtopipe.model.newest import NewestValue, NewestValues
from dtopipe.model.plan import RunPlan
from dtopipe.model.shown import json_text, shown
from dtopipe.model.verdict_state import VerdictState
from dtopipe.supervisor.preview import preview_of
from dtopipe.supervisor.supervisor import Supervisor

_DRAW_EVERY_S, _LINE_EVERY_S = 0.25, 1.0
Newest = Callable[[], NewestValues | None]
Show = Callable[[dict[str, Any], Newest], None]


def run_preview(plan: RunPlan, *, as_json: bool) -> int:
    """Show values until Ctrl-C, the end of the board, or `duration`; the exit code. Raises DtopipeError."""
    console = PipeSafeConsole(stderr=as_json)
    with _nowhere() as folder, _display(console, as_json=as_json) as show:
        supervisor = Supervisor(
            preview_of(plan, folder), lambda status: show(status, lambda: supervisor.newest_values(1.0))
        )
        stop_on_signals(supervisor)
        verdict = supervisor.run()["verdict"]
    if verdict["state"] != VerdictState.ABORTED:
        return 0
    console.print(Text(shown(verdict["text"])), soft_wrap=True)
    return VerdictState.ABORTED.exit_code


@contextlib.contextmanager
def _nowhere() -> Iterator[Path]:
    """A folder for what processes must have while they live; nothing of it is left."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="dtopipe-preview-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError(f"there is no room for temporary files: {error.strerror or error}", "set TMPDIR") from error
    with folder as path:
        yield Path(path)


@contextlib.contextmanager
def _display(console: Console, *, as_json: bool) -> Iterator[Show]:
    """What is called each turn: a table on a terminal, a line a second elsewhere."""
    drawn_s = 0.0

    if as_json or not console.is_terminal:

        def say(status: dict[str, Any], newest: Newest) -> None:
            nonlocal drawn_s
            is_due = status["phase"] == "running" and time.monotonic() - drawn_s >= _LINE_EVERY_S
            if is_due and (values := newest()) is not None:
                drawn_s = time.monotonic()
                # Who reads may be gone; the run ends at its own time.
                with contextlib.suppress(OSError):
                    click.echo(_json_line(status, values) if as_json else _line(values))

        yield say
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:

        def draw(status: dict[str, Any], newest: Newest) -> None:
            nonlocal drawn_s
            if time.monotonic() - drawn_s >= _DRAW_EVERY_S:
                drawn_s = time.monotonic()
                live.update(_table(status, newest()), refresh=True)

        yield draw


def _table(status: dict[str, Any], values: NewestValues | None) -> Group:
    head = headline(status)
    head.append("  preview: nothing is written, Ctrl-C ends it", style="bold yellow")
    board = Text(shown(f"board {status['board']['device'] or status['board']['type']}: {status['board']['state']}"))
    table = WholeTable()
    table.add_column("", keeps=Keeps.WORDS)
    table.add_numbers("value")
    table.add_column("unit")
    table.add_numbers("lowest", "highest of 1 s")
    for each in values.columns if values is not None else ():
        value = Text(each.trouble, "red") if each.value is None else Text(number_text(each.value), "bold")
        table.add_row(
            Text(shown(each.name)), value, Text(shown(each.unit)), number_text(each.lowest), number_text(each.highest)
        )
    return Group(head, board, *limit_lines(status), table)


def _line(values: NewestValues) -> str:
    return shown("  ".join(map(_words, values.columns)))


def _words(each: NewestValue) -> str:
    return f"{each.name} {number_text(each.value) or each.trouble or 'null'} {each.unit}".rstrip()


def _json_line(status: dict[str, Any], values: NewestValues) -> str:
    document = {
        "t_utc": iso_utc(values.t_utc_ns),
        "sample_index": values.sample_index,
        "values": {each.name: each.value for each in values.columns},
        "lowest": {each.name: each.lowest for each in values.columns},
        "highest": {each.name: each.highest for each in values.columns},
        "units": {each.name: each.unit for each in values.columns},
        "troubles": {each.name: each.trouble for each in values.columns if each.trouble},
        "limits": (status.get("limits") or {}).get("now", []),
    }
    return json_text(document)
