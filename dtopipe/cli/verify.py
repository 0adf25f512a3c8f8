"""`dtopipe verify`: recounts every output of a run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.outside import outside_option
from dtopipe.cli.recovery import recover_killed
from dtopipe.core.verdict import VerdictState
from dtopipe.host.run_folder import find_run
from dtopipe.model.errors import UsageError
from dtopipe.supervisor.recover import completed_record
from dtopipe.verify.outputs import read_output
from dtopipe.verify.verify import OutputReport, RunReport, verify_run
from dtopipe.wire.gap_lines import gap_line


@click.command()
@click.argument("run")
@outside_option
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(run: str, outside: bool, run_dir: Path, as_json: bool) -> None:
    r"""Recount every output of a run from the files themselves, and compare values with the raw file if there is one.

    RUN is a run folder, NAME, NAME/START or NAME/latest. Writes nothing into it. Ends with the exit code of the
    verdict: 0 GOOD, 3 INCOMPLETE, 4 DEGRADED, 5 ABORTED or INTERRUPTED.

    \b
    Example:
      dtopipe verify heat-flux/latest
    """
    recover_killed()
    folder = find_run(run, run_dir, outside=outside)
    record = folder.read_record()
    if record.get("verdict") is None:
        entry = folder.entry()
        if entry is not None and entry.anybody_is_alive():
            raise UsageError(f"{folder.path} is still in progress\n    verify it once it has ended: dtopipe stop {run}")
        facts = entry.read() if entry is not None else None
        record, _ = completed_record(folder, partial(read_output, outside=outside), facts.segment if facts else "")
    console = Console(stderr=True)
    columns = (
        TextColumn("recounting {task.description}", markup=False),
        TextColumn("{task.completed:,} rows", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        report = verify_run(
            folder, record, lambda name, rows, _: progress.update(task, description=name, completed=rows)
        )
    if as_json:
        print_json(_document(report))
    else:
        _show(report)
    sys.exit(report.verdict.state.exit_code)


def _document(report: RunReport) -> dict[str, Any]:
    outputs = []
    for output in report.outputs:
        document = asdict(output)
        document["gaps"] = [
            {"start": gap.span.start, "stop": gap.span.stop, "cause": gap.cause.value} for gap in output.gaps
        ]
        outputs.append(document)
    return {
        "folder": report.folder,
        "recorded_verdict": report.recorded,
        "verdict": {"state": report.verdict.state.value, "text": report.verdict.text},
        "outputs": outputs,
        "gaps": [gap_line(sink, gap) for sink, gaps in report.gaps.items() for gap in gaps],
        "has_gaps_file": report.has_gaps_file,
    }


def _show(report: RunReport) -> None:
    console = Console()
    table = Table(box=SIMPLE_HEAD, header_style="bold")
    for title in ("output", "rows", "samples", "in gaps", "found"):
        table.add_column(title, justify="left" if title in ("output", "found") else "right")
    for output in report.outputs:
        gaps = sum(len(gap) for gap in output.gaps)
        table.add_row(Text(output.name), f"{output.rows:,}", f"{output.samples:,}", f"{gaps:,}", _finding(output))
    console.print(table)
    if not report.has_gaps_file:
        console.print("gaps.jsonl is not there; --json prints its lines, as the outputs have them", soft_wrap=True)
    good = report.verdict.state in (VerdictState.GOOD, VerdictState.REPAIRED)
    line = Text.assemble((report.verdict.state.value, "bold green" if good else "bold red"), "  ", report.verdict.text)
    console.print(line, soft_wrap=True)


def _finding(output: OutputReport) -> Text:
    found = _findings(output)
    if output.retained_from:
        found.append(f"\njournal retained from sample {output.retained_from:,}", style="dim")
    return found


def _findings(output: OutputReport) -> Text:
    if output.problems:
        return Text("\n".join(output.problems), style="red")
    if output.compared_with:
        return Text(f"as recorded, every value as in {output.compared_with}", style="green")
    return Text("as recorded", style="green")
