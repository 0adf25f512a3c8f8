"""`dtopipe verify`: recounts every output of a run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.outside import outside_option
from dtopipe.cli.recount_progress import RecountProgress
from dtopipe.cli.remedy_lines import print_remedy
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.core.verdict import VerdictState
from dtopipe.host.run_folder import find_run
from dtopipe.host.run_life import ensure_over
from dtopipe.supervisor.recover import completed_record
from dtopipe.verify.outputs import read_output
from dtopipe.verify.remedy import remedy_facts
from dtopipe.verify.verify import OutputReport, RunReport, verify_run
from dtopipe.wire.gap_lines import gap_line


@click.command()
@click.argument("run")
@outside_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(run: str, outside: bool, run_dir: Path, as_json: bool) -> None:
    r"""Recount every output of a run from the files themselves, and compare values with the raw file if there is one.

    RUN is a run folder, NAME, NAME/START or NAME/latest. Writes nothing into it. Ends with the exit code of the
    verdict: 0 GOOD, 3 INCOMPLETE, 4 DEGRADED, 5 ABORTED or INTERRUPTED.

    \b
    Example:
      dtopipe verify heat-flux/latest
    """
    folder = find_run(run, run_dir, outside=outside)
    record = folder.read_record()
    if record.get("verdict") is None:
        ensure_over(folder)
        entry = folder.entry()
        facts = entry.read() if entry is not None else None
        record, _ = completed_record(folder, partial(read_output, outside=outside), facts.segment if facts else "")
    with RecountProgress() as progress:
        report = verify_run(folder, record, progress)
    # The record, had it the verdict of what is there now.
    judged = {**record, "verdict": report.verdict.facts()}
    if as_json:
        print_json(_document(report, judged))
    else:
        _show(report, judged)
    sys.exit(report.verdict.state.exit_code)


def _document(report: RunReport, judged: dict[str, Any]) -> dict[str, Any]:
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
        "verdict": report.verdict.facts(),
        **remedy_facts(judged, Path(report.folder)),
        "outputs": outputs,
        "gaps": [gap_line(sink, gap) for sink, gaps in report.gaps.items() for gap in gaps],
        "has_gaps_file": report.has_gaps_file,
        "not_looked_at": report.not_looked_at,
        "handed_on": report.handed_on,
        "damaged_files": report.damaged_files,
        "inconsistent": report.inconsistent,
    }


def _show(report: RunReport, judged: dict[str, Any]) -> None:
    console = Console()
    table = WholeTable()
    table.add_column("output")
    table.add_numbers("rows", "samples", "in gaps")
    table.add_column("found", keeps=Keeps.LETTERS)
    for output in report.outputs:
        gaps = sum(len(gap) for gap in output.gaps)
        table.add_row(Text(output.name), f"{output.rows:,}", f"{output.samples:,}", f"{gaps:,}", _finding(output))
    console.print(table)
    if not report.has_gaps_file:
        console.print("gaps.jsonl is not there; --json prints its lines, as the outputs have them", soft_wrap=True)
    for words in report.handed_on:
        console.print(Text(words), soft_wrap=True)
    for warning in (*report.damaged_files, *report.not_looked_at, *report.inconsistent):
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
    good = report.verdict.state in (VerdictState.GOOD, VerdictState.REPAIRED)
    line = Text.assemble((report.verdict.state.value, "bold green" if good else "bold red"), "  ", report.verdict.text)
    console.print(line, soft_wrap=True)
    print_remedy(console, judged, Path(report.folder))


def _finding(output: OutputReport) -> Text:
    found = _findings(output)
    if output.retained_from:
        found.append(f"\njournal retained from sample {output.retained_from:,}", style="dim")
    return found


def _findings(output: OutputReport) -> Text:
    if output.problems:
        found = Text("\n".join(output.problems), style="red")
    else:
        compared = f", every value and time as in {output.compared_with}" if output.compared_with else ""
        summaries = ", summaries of blocks as the values" if output.has_summaries else ""
        found = Text(f"as recorded{compared}{summaries}", style="green")
    if output.not_compared:
        found.append(f"\nnot compared: {output.not_compared}", style="yellow")
    return found
