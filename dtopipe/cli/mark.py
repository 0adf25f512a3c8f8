"""`dtopipe mark`: gives a moment of a run in progress a name."""

from __future__ import annotations

from pathlib import Path

import click

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.clock import mono_ns
from dtopipe.host.identity import who_is_here
from dtopipe.host.run_folder import RunFolder, find_living_run
from dtopipe.host.run_life import ensure_reached
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.marks import Mark, checked_label, checked_text
from dtopipe.model.moments import moment_of
from dtopipe.model.shown import shown
from dtopipe.transport.run_link import ask_run
from dtopipe.verify.remedy import run_word
from dtopipe.wire.commands import Marked, SetMark


@click.command()
@click.argument("label")
@click.argument("run", required=False)
@click.option("-m", "--text", default="", help="What else is to be said of it.")
@click.option(
    "--at", metavar="MOMENT", help="Before now, as -3s; a sample index; or a time with its zone. Without it, now."
)
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the mark as JSON.")
def mark(label: str, run: str | None, text: str, at: str | None, run_dir: Path, as_json: bool) -> None:
    r"""Give a moment of a run in progress a name: an ignition, a valve that was opened, a sensor that was touched.

    The mark has the sample index of that moment and both its times. It is on the disk once this says so, and is in
    every output that can hold it at the latest when that is closed. RUN is a run folder, NAME, NAME/START or
    NAME/latest; without it, the only run in progress.

    \b
    Example:
      dtopipe mark ignition
      dtopipe mark valve heat-flux -m "half open, by hand" --at -3s
    """
    # Before anything is looked for: that takes a while, and the moment is now.
    said_ns = mono_ns()
    moment, label, text = moment_of(at), checked_label(label), checked_text(text)
    folder = find_living_run(run, run_dir)
    here = who_is_here()
    asked = SetMark(
        label, text, moment.before_s, moment.sample_index, moment.t_utc_ns, said_ns, here.user, here.host
    )  # fmt: skip
    answer = ask_run(folder, asked, Marked)
    if answer is None:
        raise _is_over(folder, label)
    found = answer.mark
    if as_json:
        print_json({**found.to_json(), "folder": str(folder.path)})
    Console(stderr=as_json).print(said_of(found), soft_wrap=True, highlight=False, markup=False)
    if not answer.is_durable:
        raise DtopipeError(
            f"the disk of {folder.path} has no room: the mark is known to the run, and not on the disk yet",
            "free some space: it is written then, and need not be set again",
        )


def said_of(mark: Mark) -> str:
    """`ignition: sample 20,000, 2026-11-22T23:41:02.000000000Z`."""
    return shown(f"{mark.label}: sample {mark.sample_index:,}, {mark.to_json()['t_utc']}")


def _is_over(folder: RunFolder, label: str) -> UsageError:
    ensure_reached(folder, f"mark {label}")
    word = run_word(folder.path)
    return UsageError(
        f"the run {word} is over: its marks are those that were set while it went on",
        f"say what belongs to it in its metadata: dtopipe meta {word} note=...",
    )
