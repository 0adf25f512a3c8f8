"""`dtopipe repair`: refills outputs of a run that has ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from dtopipe.boards.registry import known_board_type
from dtopipe.cli.as_owner import go_on_as_owner
from dtopipe.cli.console import Console
from dtopipe.cli.endpoint import endpoint_options, link_of, link_option
from dtopipe.cli.output import print_json
from dtopipe.cli.outside import outside_option
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.recovery import recover_one
from dtopipe.cli.remedy_lines import print_remedy
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.verdict_text import verdict_line
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.host.run_folder import RunFolder, find_run
from dtopipe.model.errors import UsageError
from dtopipe.model.shown import shown
from dtopipe.repair.fetch import fetched_from
from dtopipe.repair.mended import RepairReport
from dtopipe.repair.run import repair_run
from dtopipe.supervisor.lines import EventsFile
from dtopipe.transport.source_link import is_endpoint

# What a board that follows is told of how, but not of where.
_OF_A_RUN = ("type", "restart", "hung_limit", "runs", "start", "durable")


@click.command()
@click.argument("run")
@click.option(
    "--sink", "sinks", multiple=True, metavar="NAME", help="Only this output, whatever its policy; repeatable."
)
@click.option(
    "--from", "other", metavar="RUN_DIR or ENDPOINT",
    help="Where else the samples are: another folder of the same run, such as a copy, or a machine that serves it.",
)  # fmt: skip
@endpoint_options
@link_option
@outside_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def repair(
    run: str,
    sinks: tuple[str, ...],
    other: str | None,
    server_key: Path | None,
    insecure: bool,
    link: tuple[str, ...],
    outside: bool,
    run_dir: Path,
    as_json: bool,
) -> None:
    r"""Refill every BLOCK output that is not whole from the run's raw file, or from where else its samples are.

    RUN is a run folder, NAME, NAME/START or NAME/latest, of a run that has ended, also one that was killed: then its
    record is completed first, and what it left in memory is kept in its folder. What nobody has any more stays a gap
    with its cause. It may be interrupted at any instant and called again. Ends with the exit code of the verdict, 4 if
    an output could not be repaired.

    A run that was followed on another machine, and broke off, is completed to the end that it had there: let that
    machine serve it with `dtopipe serve RUN`, and name its endpoint here.

    \b
    Example:
      dtopipe repair heat-flux/latest
      dtopipe repair heat-flux/latest --sink view --from /mnt/backup/20261122T234100Z
      dtopipe repair office/latest --from tcp://daq-pc:5700
      dtopipe repair office/latest --from nats://server:4222
    """
    folder = find_run(run, run_dir, outside=outside)
    go_on_as_owner(folder)
    recover_one(folder)
    is_served = other is not None and is_endpoint(other)
    if not is_served and (server_key is not None or insecure or link):
        raise UsageError("--server-key, --insecure and --link are for --from ENDPOINT, such as tcp://daq-pc:5700")
    before = folder.read_record()["verdict"]["state"]
    console = PipeSafeConsole(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("looking")

        def show(doing: str, done: int) -> None:
            progress.update(task, description=doing, completed=done)

        if other is not None and is_served:
            of_link = _link(folder, other, server_key, link, insecure=insecure)
            with fetched_from(folder, of_link, show) as fetched:
                report = repair_run(folder, sinks, None, fetched, show)
        else:
            source = None if other is None else find_run(other, run_dir, outside=outside)
            report = repair_run(folder, sinks, source, None, show)
    _note(folder, report, before)
    if as_json:
        print_json(_document(report))
    else:
        _show(report)
    sys.exit(report.verdict.state.exit_code)


def _link(
    folder: RunFolder, endpoint: str, server_key: Path | None, link: Sequence[str], *, insecure: bool
) -> dict[str, Any]:
    """The keys of the link: as given, else as the run had them when it followed that machine."""
    board = folder.read_record()["topology"].get("board", {})
    kind = known_board_type(board.get("type"))
    follows = kind.follows
    if follows and not kind.links and board.get("endpoint") == endpoint:
        own = {key: value for key, value in board.items() if key not in _OF_A_RUN}
        return {**own, **link_of(endpoint, server_key, link, insecure=insecure)}
    if server_key is None and not insecure and follows and board.get("endpoint") == endpoint:
        insecure = bool(board.get("insecure"))
        recorded = board.get("server_key")
        if recorded is not None and Path(recorded).exists():
            server_key = Path(recorded)
    return link_of(endpoint, server_key, link, insecure=insecure)


def _note(folder: RunFolder, report: RepairReport, before: str) -> None:
    """What was changed, in `events.jsonl`; `before`: the verdict's state until then."""
    done = {o.name: o.how for o in report.outputs if o.how != "whole"}
    if done or report.verdict.state.value != before:
        events = EventsFile(folder.path / "events.jsonl")
        events.append("repaired", outputs=done, verdict=report.verdict.state.value)
        events.close()


def _document(report: RepairReport) -> dict[str, Any]:
    return {
        "folder": report.folder,
        "first_verdict": dict(report.first_verdict),
        "verdict": report.verdict.facts(),
        "outputs": [asdict(output) for output in report.outputs],
    }


def _show(report: RepairReport) -> None:
    console = Console()
    table = WholeTable()
    table.add_column("output")
    table.add_column("done", keeps=Keeps.LETTERS)
    table.add_numbers("added", "samples", "in gaps")
    for output in report.outputs:
        how = Text(f"{output.how}: {output.failure}", style="red") if output.failure else Text(output.how)
        table.add_row(Text(output.name), how, f"{output.added:,}", f"{output.samples:,}", f"{output.gaps:,}")
    console.print(table)
    for output in report.outputs:
        for damage in output.damage:
            console.print(Text(f"{output.name}: {shown(damage)}"), soft_wrap=True)
        if output.aside:
            console.print(Text(f"{output.name}: what was there is kept as {shown(output.aside)}"), soft_wrap=True)
    verdict = {"state": report.verdict.state.value, "text": report.verdict.text}
    console.print(verdict_line({"verdict": verdict}), soft_wrap=True)
    folder = RunFolder(Path(report.folder))
    print_remedy(console, {**folder.read_record(), "verdict": report.verdict.facts()}, folder.path)
