"""`dtopipe report`: one HTML file that tells of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dtopipe.cli.output import print_json
from dtopipe.cli.outside import outside_option
from dtopipe.cli.recount_progress import RecountProgress
from dtopipe.cli.recovery import Seen, seen
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.run_folder import RunFolder, find_run, replace_text
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.shown import shown
from dtopipe.report.document import document_of
from dtopipe.report.findings import Asked, Findings, findings_of
from dtopipe.report.page import BEGINNING, page_of
from dtopipe.transport.run_link import ask_run
from dtopipe.verify.remedy import command_for, remedy_of
from dtopipe.wire.commands import AskStatus, StatusSnapshot


@click.command()
@click.argument("run")
@click.option(
    "--path", type=click.Path(path_type=Path, dir_okay=False), help="Where to write; default NAME-START.html."
)
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the page, and write no file.")
@click.option("--overwrite", is_flag=True, help="Take the place of a report that stands there.")
@outside_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the same facts as JSON, and write no file.")
def report(
    run: str, path: Path | None, to_stdout: bool, overwrite: bool, outside: bool, run_dir: Path, as_json: bool
) -> None:
    r"""Write one HTML file that tells of a run: verdict, what to do, every channel, gaps, marks, limits, clocks.

    It needs nothing beside it and no network, opens in any browser, and prints. RUN is a run folder, NAME, NAME/START
    or NAME/latest, past or in progress; nothing in it is changed. The file is named after the run, in the current
    folder, and never takes the place of another one unless told to.

    \b
    Example:
      dtopipe report heat-flux/latest
      dtopipe report heat-flux/latest --path report.html --overwrite
      dtopipe report heat-flux/latest --stdout > report.html
    """
    if sum((to_stdout, as_json, path is not None)) > 1:
        raise UsageError("--path, --stdout and --json are three ways to get a report", "give one of them")
    folder = find_run(run, run_dir, outside=outside)
    name = "-".join(folder.path.absolute().parts[-2:])
    file = path or Path(f"{name}.html")
    if not (to_stdout or as_json):
        _ensure_free(file, overwrite=overwrite)
    with RecountProgress("reading") as progress:
        found = findings_of(folder, _asked(folder), progress)
    if as_json:
        print_json(document_of(found))
    elif to_stdout:
        click.echo(page_of(found), nl=False)
    else:
        _write(file, page_of(found), overwrite=overwrite)
        _say(file, found)


def _asked(folder: RunFolder) -> Asked:
    """How the run is, and what its user is to type."""
    how, status = seen(folder), _status(folder)
    run = "/".join(folder.path.absolute().parts[-2:])
    return Asked(run, how.record, how.held, _what_to_do(folder, how), status)


def _status(folder: RunFolder) -> dict[str, Any]:
    """Of a run in progress how it is now; empty if it has ended, or does not answer."""
    try:
        answer = ask_run(folder, AskStatus(), StatusSnapshot)
    except DtopipeError:
        return {}
    return {} if answer is None else dict(answer.snapshot)


def _what_to_do(folder: RunFolder, how: Seen) -> list[str]:
    if how.held:
        told = how.remedy or "wait for its end"
        return ["It goes on: what stands here is from before its end.", told]
    recount = f"Recount every output with: {command_for('verify', how.record, folder.path)}"
    if how.remedy:
        return [f"Its record is not complete; complete it with: {how.remedy}", recount]
    remedy = remedy_of(how.record, folder.path)
    return ["Nothing has to be done." if remedy is None else remedy.text, recount]


def _ensure_free(file: Path, *, overwrite: bool) -> None:
    """Raises UsageError if something stands there that is not to be replaced: only a report ever is."""
    if not (file.exists() or file.is_symlink()):
        return
    if not overwrite:
        raise UsageError(f"{file} exists already", "give another --path, or --overwrite for a report that stands there")
    try:
        with file.open(encoding="utf-8") as opened:
            is_report = opened.read(len(BEGINNING)) == BEGINNING
    except (OSError, UnicodeDecodeError):
        is_report = False
    if not is_report:
        raise UsageError(f"{file} is no report, and stays as it is", "give another --path")


def _write(file: Path, text: str, *, overwrite: bool) -> None:
    # While the run was read, somebody else may have written there.
    _ensure_free(file, overwrite=overwrite)
    try:
        replace_text(file, text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "give another --path, or --stdout") from error


def _say(file: Path, found: Findings) -> None:
    click.echo(f"wrote {shown(str(file))}: {found.verdict_word}  {shown(found.verdict_text)}")
    for trouble in found.troubles:
        click.echo(f"dtopipe: warning: {shown(trouble)}", err=True)
