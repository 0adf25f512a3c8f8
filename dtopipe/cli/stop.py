"""`dtopipe stop`: ends a run in order."""

from __future__ import annotations

import getpass
import platform
import sys
import time
from pathlib import Path

import click

from dtopipe.cli.as_owner import go_on_as_owner
from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.recovery import recover_killed, recover_one, seen
from dtopipe.cli.remedy_lines import print_remedy
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.verdict_text import exit_code, outputs_table, verdict_line
from dtopipe.host.run_folder import find_living_run
from dtopipe.host.run_life import reached
from dtopipe.host.run_lock import RunMark, read_mark
from dtopipe.model.errors import UsageError
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import Stopping, StopRun

_LOOK_EVERY_S = 0.1
_GOODBYE_S = 2.0


@click.command()
@click.argument("run", required=False)
@click.option("--now", is_flag=True, help="Do not wait for slow sinks.")
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the final run record as JSON.")
def stop(run: str | None, now: bool, run_dir: Path, as_json: bool) -> None:
    r"""End a run in order: stop the board, let every sink write what was acquired, print the verdict.

    RUN is a run folder, NAME, NAME/START or NAME/latest; without it, the only run in progress. The records of your runs
    that were killed are completed, and what they left is cleared away.

    \b
    Example:
      dtopipe stop
      dtopipe stop heat-flux --now
    """
    recover_killed()
    folder = find_living_run(run, run_dir)
    console = Console(stderr=as_json)
    mark = read_mark(folder.path)
    if ask_run(folder, StopRun(now, _user(), platform.node()), Stopping):
        words = "waiting for the sinks to write what was acquired; stop --now does not wait for slow ones"
        with console.status(words):
            while reached(folder) is not None:
                time.sleep(_LOOK_EVERY_S)
            _let_go(mark)
    elif folder.read_record().get("verdict") is not None:
        console.print("the run had ended already")
    found = seen(folder)
    if found.record.get("verdict") is not None and found.remedy:
        # It was killed, now or before.
        go_on_as_owner(folder)
        recover_one(folder)
        found = seen(folder)
    record = found.record
    if as_json:
        print_json(record)
    console.print(outputs_table(record))
    if found.held:
        raise UsageError(f"{folder.path} is still {found.held}", found.remedy)
    console.print(verdict_line(record), soft_wrap=True)
    print_remedy(console, record, folder.path)
    sys.exit(exit_code(record))


def _let_go(mark: RunMark | None) -> None:
    """It waits until the supervisor's process is gone; one that does other things besides is not waited for."""
    deadline = time.monotonic() + _GOODBYE_S
    while mark is not None and mark.supervisor_lives() and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)


def _user() -> str:
    """The name of the user who types this; empty where the system does not know."""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):
        return ""
