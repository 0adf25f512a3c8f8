"""`dtopipe detach`: takes a sink out of a run in progress, in order."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.core.lifecycle import condition_of
from dtopipe.host.run_folder import RunFolder, find_living_run
from dtopipe.host.run_life import ensure_reached
from dtopipe.model.errors import DtopipeError
from dtopipe.model.shown import shown
from dtopipe.transport.run_link import ask_run
from dtopipe.verify.remedy import run_word
from dtopipe.wire.commands import AskStatus, Detaching, DetachSink, StatusSnapshot

_LOOK_EVERY_S = 0.05


@click.command()
@click.argument("name")
@click.argument("run", required=False)
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print how the sink is then, as JSON.")
def detach(name: str, run: str | None, run_dir: Path, as_json: bool) -> None:
    r"""Take a sink out of a run in progress: it writes what was acquired until now, and closes its output.

    The run goes on without it. Its output is whole up to where it was detached; `dtopipe repair RUN --sink NAME`
    completes it once the run is over. An output that is away is closed with what it has: after 5 s where the journal
    has the rest, else after drain_limit, and at once if this is typed a second time. RUN is a run folder, NAME,
    NAME/START or NAME/latest; without it, the only run in progress.

    \b
    Example:
      dtopipe detach view
      dtopipe detach table heat-flux --json
    """
    folder = find_living_run(run, run_dir)
    answer = ask_run(folder, DetachSink(name), Detaching)
    if answer is None:
        ensure_reached(folder, f"detach {name}")
        raise DtopipeError(f"the run {folder.path} is over: nothing writes {name}")
    console = Console(stderr=as_json)
    try:
        with console.status(f"waiting for {name} to write what was acquired until now"):
            sink, remarks = _detached(folder, name, console)
    except KeyboardInterrupt:
        words = f"{name} is still being detached; typed again, its output is closed with what it has"
        raise DtopipeError(words) from None
    if as_json:
        print_json({"name": name, **sink})
    failure = shown(f": {sink['failure']}") if sink.get("failure") else ""
    _say(console, f"{name} is {sink['state']} at sample {sink['committed']:,}{failure}")
    for remark in remarks:
        _say(console, shown(remark))
    if short := sink.get("detached"):
        _say(console, shown(f"it ends before sample {short['asked_at']:,}: {short['why']}"))
        _say(console, f"once the run is over: dtopipe repair {run_word(folder.path)} --sink {name}")
    sys.exit(0 if condition_of(sink).is_closed else 1)


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _detached(folder: RunFolder, name: str, console: Console) -> tuple[dict[str, Any], list[str]]:
    """How the sink is once its output is closed, or the run is over, and what its output is not that was promised.

    Says once what is waited for.
    """
    told = ""
    while True:
        status = ask_run(folder, AskStatus(), StatusSnapshot)
        record = dict(status.snapshot) if status else folder.read_record()
        sink: dict[str, Any] = record["sinks"][name]
        if status is None or condition_of(sink).is_over:
            remarks = [text if isinstance(text, str) else text.get("text", "") for text in record.get("remarks", ())]
            return sink, [text for text in remarks if text.startswith(f"{name}: ")]
        if sink.get("failure") and sink["failure"] != told and sink["waited_for_s"]:
            told = sink["failure"]
            _say(console, shown(f"{name} is {sink['state']}: {told}"))
            _say(console, f"its output is closed with what it has, if it stays so for {sink['waited_for_s']:.0f} s")
        time.sleep(_LOOK_EVERY_S)
