"""`dtopipe restart`: revives a sink of a run in progress."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.core.lifecycle import SinkState, condition_of
from dtopipe.host.run_folder import RunFolder, find_living_run
from dtopipe.host.run_life import ensure_reached
from dtopipe.model.errors import DtopipeError
from dtopipe.model.shown import shown
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, Restarting, RestartSink, StatusSnapshot

_LOOK_EVERY_S = 0.1


@click.command()
@click.argument("name")
@click.argument("run", required=False)
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print how the sink is then, as JSON.")
def restart(name: str, run: str | None, run_dir: Path, as_json: bool) -> None:
    r"""Start a sink of a run in progress anew: one that gave up, or one that runs.

    NAME is the sink's name in the topology, or limits for who watches these. It goes on behind its last commit, with
    its restarts uncounted; what passed meanwhile comes from the journal or the ring, and is a gap of cause
    worker_failed where neither has it.
    RUN is a run folder, NAME, NAME/START or NAME/latest; without it, the only run in progress.

    \b
    Example:
      dtopipe restart table
      dtopipe restart table heat-flux --json
    """
    folder = find_living_run(run, run_dir)
    answer = ask_run(folder, RestartSink(name), Restarting)
    if answer is None:
        ensure_reached(folder, f"restart {name}")
        raise DtopipeError(
            f"the run {folder.path} is over", f"what {name} lacks can be refilled: dtopipe repair {folder.path}"
        )
    console = Console(stderr=as_json)
    with console.status(f"waiting for {name}"):
        sink = _restarted(folder, name, answer.restarts)
    if as_json:
        print_json({"name": name, **sink})
    failure = shown(f": {sink['failure']}") if sink.get("failure") else ""
    console.print(f"{name} is {sink['state']}{failure}", soft_wrap=True, highlight=False, markup=False)
    sys.exit(1 if condition_of(sink) is SinkState.GAVE_UP else 0)


def _restarted(folder: RunFolder, name: str, restarts_before: int) -> dict[str, Any]:
    """How the sink is once its new process has opened its output, or could not, or the run is over."""
    while True:
        status = ask_run(folder, AskStatus(), StatusSnapshot)
        record = dict(status.snapshot) if status else folder.read_record()
        # Who watches limits is started anew as a sink is.
        workers = {"limits": record.get("limits", {}).get("watcher", {}), **record["sinks"]}
        sink: dict[str, Any] = workers[name]
        condition = condition_of(sink)
        begun = sink["restarts"] > restarts_before
        if status is None or condition is SinkState.GAVE_UP or (begun and not condition.is_under_way):
            return sink
        time.sleep(_LOOK_EVERY_S)
