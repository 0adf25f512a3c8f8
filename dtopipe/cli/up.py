"""`dtopipe up`: a run in the foreground, from board to files, with a live table and a verdict."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from dtopipe.cli.live_table import disk_lines, headline, status_table
from dtopipe.cli.output import print_json
from dtopipe.cli.topology_options import topology_options
from dtopipe.cli.verdict_text import exit_code, outputs_table, verdict_line
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.runtime import entries
from dtopipe.model.errors import DtopipeError
from dtopipe.model.plan import RunPlan
from dtopipe.supervisor.supervisor import Supervisor

_DRAW_EVERY_S = 0.25
# Without a terminal a line now and then shows that the run goes on.
_LINE_EVERY_S = 10.0
_DETACH_WAIT_S = 60.0


@click.command()
@topology_options
@click.option("--detach", is_flag=True, help="Leave the run in the background once it is running.")
@click.option("--json", "as_json", is_flag=True, help="Print the final run record as JSON.")
def up(plan: RunPlan, detach: bool, as_json: bool) -> None:
    r"""Run a topology: start the board and every sink, show how it goes, end with the verdict.

    Ctrl-C ends the run in order; a second Ctrl-C does not wait for slow sinks.

    \b
    Example:
      dtopipe up quickstart.yaml
      dtopipe up heat-flux.yaml --duration 10min --meta sample=A7
    """
    if detach:
        _detach(as_json=as_json)
        return
    console = Console(stderr=True) if as_json else Console()
    with _display(console) as show:
        supervisor = Supervisor(plan, _while_the_terminal_lasts(show))
        _stop_on_signals(supervisor)
        record = supervisor.run()
    if as_json:
        print_json(record)
    folder = supervisor.folder
    console.print(outputs_table(record))
    console.print(verdict_line(record), soft_wrap=True)
    console.print(f"run folder: {folder}", soft_wrap=True, highlight=False)
    if exit_code(record):
        console.print(f"see what is missing with: dtopipe verify {folder}", soft_wrap=True, highlight=False)
    sys.exit(exit_code(record))


def _stop_on_signals(supervisor: Supervisor) -> None:
    """Ctrl-C, a closed terminal and a polite kill all end the run in order, from now to the end of the process."""

    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.request_stop()

    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)


def _while_the_terminal_lasts(show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A terminal that is closed must not disturb the run that it showed."""

    def shown(status: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            show(status)

    return shown


@contextlib.contextmanager
def _display(console: Console) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What is called with a snapshot each turn: a live table on a terminal, a line now and then elsewhere."""
    drawn_s = 0.0
    if not console.is_terminal:

        def say(status: dict[str, Any]) -> None:
            nonlocal drawn_s
            if time.monotonic() - drawn_s > _LINE_EVERY_S:
                drawn_s = time.monotonic()
                line = headline(status)
                line.append(f"  {status['board']['end_sample_index']:,} samples per channel")
                console.print(line, soft_wrap=True)
                for warning in disk_lines(status):
                    console.print(warning, soft_wrap=True)

        yield say
        return

    with Live(console=console, auto_refresh=False, transient=False) as live:

        def draw(status: dict[str, Any]) -> None:
            nonlocal drawn_s
            if time.monotonic() - drawn_s > _DRAW_EVERY_S or status["phase"] == "finished":
                drawn_s = time.monotonic()
                live.update(status_table(status), refresh=True)

        yield draw


def _detach(*, as_json: bool) -> None:
    """Start the same command in the background, and wait until its run is running or refused."""
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--detach", "--json")]
    before = {entry.folder for entry in entries()}
    process = subprocess.Popen(
        [sys.executable, "-m", "dtopipe", *arguments, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0),
    )
    deadline = time.monotonic() + _DETACH_WAIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            message = process.stderr.read().decode(errors="replace") if process.stderr else ""
            click.echo(message, err=True, nl=False)
            sys.exit(process.returncode)
        for folder in _running(before, process.pid):
            click.echo(f"running: {folder.path}", err=as_json)
            click.echo("watch it with: dtopipe status    end it with: dtopipe stop", err=True)
            if as_json:
                print_json({"folder": str(folder.path), "pid": process.pid})
            return
        time.sleep(0.05)
    raise DtopipeError(f"the run (process {process.pid}) is not running after {_DETACH_WAIT_S:g} s")


def _running(before: set[Path], pid: int) -> Iterator[RunFolder]:
    for entry in entries():
        facts = entry.read()
        if entry.folder not in before and facts and facts.pid == pid:
            folder = RunFolder(Path(facts.run_folder))
            with contextlib.suppress(OSError):
                if '"running"' in (folder.path / "events.jsonl").read_text(encoding="utf-8"):
                    yield folder
