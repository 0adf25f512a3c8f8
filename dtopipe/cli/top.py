"""`dtopipe top`: a live view of a run that others have started."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live

from dtopipe.cli.channel_lines import ChannelLines
from dtopipe.cli.live_marks import LiveMarks
from dtopipe.cli.live_view import LiveView
from dtopipe.cli.onlooker import Onlooker
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.verdict_text import verdict_line
from dtopipe.host.run_folder import find_living_run
from dtopipe.host.run_life import ensure_reached
from dtopipe.model.errors import UsageError
from dtopipe.model.newest import NewestValues
from dtopipe.model.shown import json_text
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import Marked, Refused, SetMark

_LOOK_EVERY_S = 1.0
_KEYS_EVERY_S = 0.05


@click.command()
@click.argument("run", required=False)
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON a second.")
def top(run: str | None, run_dir: Path, as_json: bool) -> None:
    r"""Watch a run in progress: processes, newest values, and who limits it.

    RUN is a run folder, NAME, NAME/START or NAME/latest; without it, the only run in progress. Ctrl-C ends the view,
    never the run; the key m marks a moment. Without a terminal it prints one snapshot. Writes nothing but the marks
    that you set.

    \b
    Example:
      dtopipe top
      dtopipe top heat-flux --json | head -3
    """
    folder = find_living_run(run, run_dir)
    onlooker = Onlooker(folder)
    try:
        status = onlooker.status()
        if status is None:
            ensure_reached(folder, "watch")
            raise UsageError("that run is over", f"see how it ended: dtopipe status {folder.path}")
        _watch(onlooker, status, as_json=as_json)
    except KeyboardInterrupt:
        # That is how it is ended.
        return
    finally:
        onlooker.close()


def _watch(onlooker: Onlooker, status: dict[str, Any] | None, *, as_json: bool) -> None:
    console, channels = PipeSafeConsole(), ChannelLines()
    if as_json:
        while status is not None:
            click.echo(_line(status, onlooker))
            time.sleep(_LOOK_EVERY_S)
            status = onlooker.status()
        return
    if not console.is_terminal and status is not None:
        console.print(Group(*_view(status, onlooker, channels).whole()))
        return

    def mark(asked: SetMark) -> Marked | Refused:
        answer = ask_run(onlooker.folder, asked, Marked)
        return answer or Refused("the run is over")

    marks = LiveMarks(mark)
    with marks.listening(), Live(console=console, auto_refresh=False, screen=False) as live:
        while status is not None:
            values, event = onlooker.values(), onlooker.event()
            channels.see(values)
            until_s = time.monotonic() + _LOOK_EVERY_S
            is_new = True
            while time.monotonic() < until_s:
                if marks.take() or is_new:
                    live.update(LiveView(status, channels, values, event, marks.line()), refresh=True)
                    is_new = False
                time.sleep(_KEYS_EVERY_S)
            status = onlooker.status()
    console.print(verdict_line(onlooker.folder.read_record()), soft_wrap=True)


def _view(status: dict[str, Any], onlooker: Onlooker, channels: ChannelLines) -> LiveView:
    values = onlooker.values()
    channels.see(values)
    return LiveView(status, channels, values, onlooker.event())


def _line(status: dict[str, Any], onlooker: Onlooker) -> str:
    values = onlooker.values()
    return json_text({**status, "channels": _channels(values), "newest_event": onlooker.event()})


def _channels(values: NewestValues | None) -> dict[str, Any]:
    if values is None:
        return {}
    return {
        each.name: {
            "value": each.value,
            "unit": each.unit,
            "lowest": each.lowest,
            "highest": each.highest,
            **({"trouble": each.trouble} if each.trouble else {}),
        }
        for each in values.columns
    }
