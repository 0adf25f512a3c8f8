"""`dtopipe top`: a live view of a run that others have started, here or on another machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from dtopipe.cli.channel_lines import ChannelLines
from dtopipe.cli.endpoint import endpoint_options, ensure_no_link
from dtopipe.cli.live_marks import LiveMarks
from dtopipe.cli.live_view import LiveView
from dtopipe.cli.onlooker import Onlooker, OnlookerHere
from dtopipe.cli.onlooker_there import OnlookerThere
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.run_folder import RunFolder, find_living_run
from dtopipe.model.newest import NewestValues
from dtopipe.model.shown import json_text, shown
from dtopipe.transport.run_link import ask_run
from dtopipe.transport.source_link import is_endpoint
from dtopipe.wire.commands import Marked, Refused, SetMark
from dtopipe.wire.link_messages import RunSeen

_KEYS_EVERY_S, _LONGEST_LOOK_S = 0.05, 1.5


@click.command()
@click.argument("run", required=False, metavar="[RUN or ENDPOINT]")
@endpoint_options
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON a second.")
def top(run: str | None, server_key: Path | None, insecure: bool, run_dir: Path, as_json: bool) -> None:
    r"""Watch a run in progress: processes, newest values, and who limits it.

    RUN is a run folder, NAME, NAME/START or NAME/latest; without it, the only run in progress. ENDPOINT, as
    tcp://daq-pc:5700, is where another machine serves a run in progress. Ctrl-C ends the view, never the run; the key m
    marks a moment of a run of this machine. Without a terminal it prints one snapshot. Writes nothing but the marks
    that you set.

    
    Example:
      dtopipe top
      dtopipe top heat-flux --json | head -3
      dtopipe top tcp://daq-pc:5700
    """
    onlooker: Onlooker
    if run is not None and is_endpoint(run):
        onlooker, set_mark = OnlookerThere(run, server_key, insecure=insecure), None
    else:
        ensure_no_link(server_key, insecure=insecure)
        folder = find_living_run(run, run_dir)
        onlooker, set_mark = OnlookerHere(folder), _marks_of(folder)
    try:
        seen, console = onlooker.first(), PipeSafeConsole()
        if as_json:
            _print_lines(onlooker, seen)
        elif console.is_terminal:
            _watch(onlooker, seen, console, None if set_mark is None else LiveMarks(set_mark))
        else:
            channels = ChannelLines()
            channels.see(seen.values)
            below = [Text(shown(onlooker.whereabouts), "dim")] if onlooker.whereabouts else []
            console.print(Group(*_view(seen, channels).whole(), *below))
    except KeyboardInterrupt:
        # That is how it is ended.
        return
    finally:
        onlooker.close()


def _marks_of(folder: RunFolder) -> Callable[[SetMark], Marked | Refused]:
    def mark(asked: SetMark) -> Marked | Refused:
        return ask_run(folder, asked, Marked) or Refused("the run is over")

    return mark


def _print_lines(onlooker: Onlooker, seen: RunSeen | None) -> None:
    """A line of JSON for each look, until the run is over."""
    told = ""
    while not onlooker.is_over:
        if seen is not None:
            click.echo(_line(seen))
        elif onlooker.trouble not in ("", told):
            click.echo(shown(onlooker.trouble), err=True)
        told = onlooker.trouble
        seen = onlooker.look(_LONGEST_LOOK_S)


def _watch(onlooker: Onlooker, seen: RunSeen, console: PipeSafeConsole, marks: LiveMarks | None) -> None:
    """A live table until the run is over; then how it ended."""
    channels, trouble = ChannelLines(), ""
    new: RunSeen | None = seen
    listening = contextlib.nullcontext() if marks is None else marks.listening()
    with listening, Live(console=console, auto_refresh=False, screen=False) as live:
        while not onlooker.is_over:
            is_pressed = marks is not None and marks.take()
            if new is not None:
                seen = new
                channels.see(seen.values)
            if new is not None or is_pressed or trouble != onlooker.trouble:
                trouble = onlooker.trouble
                below = _below(onlooker) if marks is None else marks.line()
                live.update(_view(seen, channels, below), refresh=True)
            new = onlooker.look(_KEYS_EVERY_S)
    console.print(onlooker.last_words(), soft_wrap=True)


def _below(onlooker: Onlooker) -> Text:
    return Text(shown(onlooker.trouble), "red") if onlooker.trouble else Text(shown(onlooker.whereabouts), "dim")


def _view(seen: RunSeen, channels: ChannelLines, below: Text | None = None) -> LiveView:
    return LiveView(dict(seen.status), channels, seen.values, seen.event, below)


def _line(seen: RunSeen) -> str:
    return json_text({**seen.status, "channels": _channels(seen.values), "newest_event": seen.event})


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
