"""`dtopipe up`: a run in the foreground, from board to files, with a live table and a verdict."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dtopipe.cli.foreground import run_in_foreground
from dtopipe.cli.output import print_json
from dtopipe.cli.topology_options import PlanRequest, topology_request
from dtopipe.host.own_python import own_command, own_environment
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.runtime import entries
from dtopipe.host.session import end_of_session_warning
from dtopipe.model.errors import DtopipeError, UsageError

if TYPE_CHECKING:
    from dtopipe.cli.page_beside import PageBeside

_DETACH_WAIT_S = 60.0


@click.command()
@topology_request
@click.option("--detach", is_flag=True, help="Leave the run in the background once it is running.")
@click.option("--preview", is_flag=True, help="Only show live values in their units: nothing is written.")
@click.option("--metrics", "metrics", metavar="[HOST:]PORT", help="Serve the run to Prometheus (`dtopipe metrics`).")
@click.option("--web", "web", metavar="[HOST:]PORT", help="Serve a page of the run; with a port, to this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print the final run record as JSON; a preview as lines.")
def up(request: PlanRequest, detach: bool, preview: bool, metrics: str | None, web: str | None, as_json: bool) -> None:
    r"""Run a topology: start the board and every sink, show how it goes, end with the verdict.

    Ctrl-C ends the run in order; a second Ctrl-C does not wait for slow sinks. With --preview it is the board alone,
    with its limits: no run folder, no outputs, no commands, and no metadata that each run must be given. The page of
    --web is a process of its own (`dtopipe web`), which stays for as long as somebody looks at it; extra `web`.

    \b
    Example:
      dtopipe up quickstart.yaml
      dtopipe up heat-flux.yaml --duration 10min --meta sample=A7
      dtopipe up heat-flux.yaml --preview
      dtopipe up heat-flux.yaml --web 8480
    """
    if preview and detach:
        raise UsageError("a preview is for who looks at it, and cannot be in the background", "take out --detach")
    if preview and metrics is not None:
        raise UsageError("a preview has no run that could be served", "take out --metrics or --preview")
    if preview and web is not None:
        raise UsageError("a preview has no run that a page could show", "take out --web or --preview")
    page = None if web is None else _page(web)
    plan = request.plan(rehearsal=preview)
    for warning in plan.warnings:
        click.echo(f"dtopipe: warning: {warning}", err=True)
    if preview:
        # Few runs are previews, and all would pay for it at their start.
        from dtopipe.cli.preview import run_preview

        sys.exit(run_preview(plan, as_json=as_json))
    if page is not None:
        click.echo(f"page: {page.url}", err=as_json)
    if detach:
        _detach({} if page is None else page.environment, as_json=as_json)
        return
    if metrics is not None:
        from dtopipe.cli.metrics import beside

        # A Ctrl-C is meant for the run, whose end is to be seen too; it ends with the run.
        subprocess.Popen(
            beside(metrics), env=own_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
    sys.exit(run_in_foreground(plan, page, as_json=as_json))


def _page(listen: str) -> PageBeside:
    # Few runs have one, and all would pay for it at their start.
    from dtopipe.cli.page_beside import PageBeside

    return PageBeside(listen)


def _detach(environment: Mapping[str, str], *, as_json: bool) -> None:
    """Start the same command in the background, and wait until its run is running or refused."""
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--detach", "--json")]
    before = {entry.folder for entry in entries()}
    if warning := end_of_session_warning():
        click.echo(f"dtopipe: {warning}", err=True)
    process = subprocess.Popen(
        own_command("dtopipe", *arguments, "--json"),
        env=own_environment(environment),
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
        for folder, how in _under_way(before, process.pid):
            click.echo(f"{how}: {folder.path}", err=as_json)
            click.echo("watch it with: dtopipe status    end it with: dtopipe stop", err=True)
            if as_json:
                print_json({"folder": str(folder.path), "pid": process.pid})
            return
        time.sleep(0.05)
    raise DtopipeError(f"the run (process {process.pid}) is not running after {_DETACH_WAIT_S:g} s")


def _under_way(before: set[Path], pid: int) -> Iterator[tuple[RunFolder, str]]:
    """The run of that process, once it runs, or waits for the machine that it follows."""
    for entry in entries():
        facts = entry.read()
        if entry.folder not in before and facts and facts.pid == pid:
            folder = RunFolder(Path(facts.run_folder))
            with contextlib.suppress(OSError, ValueError):
                lines = (folder.path / "events.jsonl").read_text(encoding="utf-8").splitlines()
                seen = [(line["event"], line.get("process", "")) for line in map(json.loads, lines)]
                if ("running", "") in seen:
                    yield folder, "running"
                elif ("away", "acquirer") in seen:
                    yield folder, "waiting for the run that it follows"
