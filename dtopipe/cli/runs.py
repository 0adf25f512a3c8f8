"""`dtopipe runs`: past and present runs with their verdicts."""

from __future__ import annotations

import contextlib
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.endpoint import link_option
from dtopipe.cli.length import length_text
from dtopipe.cli.output import print_json
from dtopipe.cli.recovery import Seen, seen
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.run_filters import filter_from, verdict_choices
from dtopipe.cli.runs_there import list_published
from dtopipe.cli.verdict_text import verdict_line
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.core.ending import EndedBy, ending_from
from dtopipe.host.closed import closed, closed_below
from dtopipe.host.run_folder import RunFolder, ensure_readable, runs_in, runs_in_progress
from dtopipe.host.runtime_folder import runtime_trouble
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.shown import shown
from dtopipe.topology.cost import size_text
from dtopipe.verify.remedy import remedy_facts


@dataclass(frozen=True, slots=True)
class _Row:
    """One run: as JSON has it, and as the table shows its end."""

    document: dict[str, Any]
    verdict: Text


# A list of many runs that lack something is no list of runs any more: the newest ones.
_MOST_REMEDIES = 5
# Of others the verdict itself tells.
_ENDED_BY = {
    EndedBy.CTRL_C: "Ctrl-C",
    EndedBy.TERMINAL_CLOSED: "terminal closed",
    EndedBy.SIGTERM: "SIGTERM",
    EndedBy.STOP: "stop",
    EndedBy.DURATION: "duration",
    EndedBy.DISK: "disk",
}


@click.command()
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--where", multiple=True, metavar="K=V", help="Only runs with this in their metadata; may be repeated.")
@click.option("--since", metavar="DATE", help="Only runs started then or later: 2026-11-01, or with a time; in UTC.")
@click.option("--until", metavar="DATE", help="Only runs started before that.")
@click.option(
    "--verdict",
    multiple=True,
    type=click.Choice(verdict_choices(), case_sensitive=False),
    help="Only runs with this verdict; may be repeated.",
)
@click.option("--on", "endpoint", metavar="NATS", help="Instead: the runs of every device on nats://host:4222.")
@link_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs(
    run_dir: Path,
    where: tuple[str, ...],
    since: str | None,
    until: str | None,
    verdict: tuple[str, ...],
    endpoint: str | None,
    link: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""List runs, newest last: those below --run-dir, and those in progress anywhere. Writes nothing.

    A run that was killed, or ended with the machine's power, is listed as INTERRUPTED, with what is known of it;
    `dtopipe repair RUN` completes its record and its outputs.

    \b
    Example:
      dtopipe runs
      dtopipe runs --where sample=A7 --since 2026-11-01 --verdict GOOD
      dtopipe runs --run-dir /data/runs --json
      dtopipe runs --on nats://server:4222
    """
    wanted = filter_from(where, since, until, verdict)
    if endpoint is not None:
        list_published(endpoint, link, wanted, as_json=as_json)
        return
    if link:
        raise UsageError("--link is for --on", "name the servers: --on nats://host:4222")
    ensure_readable(run_dir)
    present = {folder.path: folder for folder in runs_in_progress()}
    folders = {folder.path: folder for folder in runs_in(run_dir)} | present
    every = sorted(map(_row, folders.values()), key=lambda row: str(row.document["started_at"]))
    rows = [row for row in every if wanted.fits(row.document)]
    if trouble := runtime_trouble():
        click.echo(f"dtopipe: runs in progress are not looked for: {trouble}", err=True)
    for folder in closed_below(run_dir):
        click.echo(f"dtopipe: {shown(closed(folder).headline)}", err=True)
    if as_json:
        print_json([row.document for row in rows])
        return
    table = WholeTable()
    table.add_column("run")
    # A run is called by its start, too.
    table.add_column("started", is_spare=True)
    has_sample = any(_sample(row) for row in rows)
    if has_sample:
        table.add_column("sample", is_spare=True)
    table.add_numbers("samples")
    table.add_column("length", justify="right", is_spare=True)
    table.add_column("size", justify="right", is_spare=True)
    table.add_column("verdict", keeps=Keeps.LETTERS)
    times = Counter(row.document["run"] for row in rows)
    for row in rows:
        run = row.document
        # What is to be typed: a path, where the name would be refused.
        table.add_row(
            Text(run["run"] if times[run["run"]] == 1 else run["folder"]),
            Text(_utc(run["started_at"])),
            *([_sample(row)] if has_sample else []),
            f"{run['samples']:,}",
            length_text(run.get("length_s")),
            size_text(run["size_bytes"]),
            row.verdict,
        )
    console = Console()
    none = (
        f"none of {len(every)} runs below {run_dir} is like that"
        if every
        else f"no runs below {run_dir}; start one with: dtopipe up FILE"
    )
    console.print(table if rows else none, markup=False)
    for row in [row for row in rows if row.document.get("remedy")][-_MOST_REMEDIES:]:
        line = Text(f"{row.document['run']} can be completed: {row.document['remedy']}")
        console.print(line, soft_wrap=True)


def _utc(started_at: str | None) -> str:
    """The second, and that it is one of UTC, whatever the zone of who reads it."""
    return f"{datetime.fromisoformat(started_at).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if started_at else ""


def _sample(row: _Row) -> str:
    """What was measured, by the metadata that most laboratories have."""
    return str((row.document.get("metadata") or {}).get("sample") or "")


def _size_bytes(folder: Path) -> int:
    """What the files of a run take, as far as they can be seen; what links lead to is not among it."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            facts = path.lstat()
            total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def _row(folder: RunFolder) -> _Row:
    """What there is to say about a run, whatever its record is like."""
    run = f"{folder.path.parent.name}/{folder.path.name}"
    try:
        return _row_of(run, folder, seen(folder))
    except DtopipeError as error:
        message = error.headline
        document = {"run": run, "folder": str(folder.path), "started_at": None, "samples": 0, "verdict": None,
                    "size_bytes": _size_bytes(folder.path), "in_progress": False, "error": message}  # fmt: skip
        return _Row(document, Text(message, style="red"))


def _remedy(found: Seen, folder: RunFolder) -> dict[str, Any]:
    """The command that helps; the record of a run that was killed has to be completed first."""
    if found.remedy:
        return {"remedy": found.remedy, "remedy_text": f"complete it with: {found.remedy}"}
    return remedy_facts(found.record, folder.path)


def _row_of(run: str, folder: RunFolder, found: Seen) -> _Row:
    """Raises UsageError if the record's values are of another kind than ours."""
    record = found.record
    ending = ending_from(record.get("ended_by"))
    try:
        document = {
            "run": run,
            "folder": str(folder.path),
            "started_at": record["started_at"],
            "samples": int(record["acquired"]["samples"]),
            "length_s": _length_s(record),
            "size_bytes": _size_bytes(folder.path),
            "metadata": record.get("metadata") or {},
            "verdict": record["verdict"],
            **({"insecure": True} if record.get("insecure") else {}),
            "in_progress": found.held != "",
            **({"held": found.held} if found.held else {}),
            **({} if found.held else _remedy(found, folder)),
            **({"ended_by": ending.facts()} if ending is not None else {}),
        }
        if found.held:
            return _Row(document, Text(found.held, style="bold"))
        # First of all by what it ended: a narrow terminal shows no more of it.
        return _Row(document, verdict_line(record, "" if ending is None else _ENDED_BY.get(ending.by, "")))
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise UsageError(f"{folder.record_path} is not a run record: {type(error).__name__}: {error}") from error


def _length_s(record: Mapping[str, Any]) -> float | None:
    """From the first sample to the end of the last; None before the board was opened."""
    rate_hz = (record.get("stream") or {}).get("rate_hz")
    return int(record["acquired"]["end_sample_index"]) / float(rate_hz) if rate_hz else None
