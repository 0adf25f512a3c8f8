"""`dtopipe runs`: past and present runs with their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.recovery import recover
from dtopipe.cli.verdict_text import verdict_line
from dtopipe.host.run_folder import RunFolder, runs_in, runs_in_progress
from dtopipe.model.errors import UsageError


@click.command()
@click.option("--run-dir", type=click.Path(path_type=Path), default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs(run_dir: Path, as_json: bool) -> None:
    r"""List runs, newest last: those below --run-dir, and those in progress anywhere.

    \b
    Example:
      dtopipe runs
      dtopipe runs --run-dir /data/runs --json
    """
    recover(run_dir)
    present = {folder.path: folder for folder, _ in runs_in_progress()}
    folders = {folder.path: folder for folder in runs_in(run_dir)} | present
    records = [_summary(folder, in_progress=folder.path in present) for folder in folders.values()]
    records.sort(key=lambda record: str(record["started_at"]))
    if as_json:
        print_json(records)
        return
    table = Table(box=SIMPLE_HEAD, header_style="bold")
    for title in ("run", "started", "samples"):
        table.add_column(title, no_wrap=True, justify="right" if title == "samples" else "left")
    table.add_column("verdict", no_wrap=True, overflow="ellipsis")
    for record in records:
        table.add_row(
            Text(record["run"]), str(record["started_at"])[:19], f"{record['samples']:,}", verdict_line(record)
        )
    Console().print(table if records else f"no runs below {run_dir}; start one with: dtopipe up FILE")


def _summary(folder: RunFolder, *, in_progress: bool) -> dict[str, Any]:
    run = f"{folder.path.parent.name}/{folder.path.name}"
    try:
        record = folder.read_record()
    except UsageError as error:
        return {"run": run, "folder": str(folder.path), "started_at": None, "samples": 0, "verdict": None,
                "in_progress": in_progress, "error": str(error)}  # fmt: skip
    return {
        "run": run,
        "folder": str(folder.path),
        "started_at": record["started_at"],
        "samples": record["acquired"]["samples"],
        "verdict": record["verdict"],
        **({"insecure": True} if record.get("insecure") else {}),
        "in_progress": in_progress,
    }
