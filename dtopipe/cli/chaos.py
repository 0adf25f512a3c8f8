"""`dtopipe chaos`: a topology under faults, and what became of it."""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click
from rich.text import Text

from dtopipe.chaos.campaign import Outcome, campaign
from dtopipe.chaos.faults import Fault, Kind
from dtopipe.chaos.moments import Moment
from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.verdict_text import exit_code, outputs_table, verdict_line
from dtopipe.cli.whole_table import WholeTable
from dtopipe.model.errors import UsageError
from dtopipe.model.quantities import seconds
from dtopipe.model.suggestions import nearest

_WHEN = {
    Moment.ANY: "",
    Moment.COMMIT: " in a commit",
    Moment.ROLLOVER: " at the end of a row group or segment",
    Moment.RESUME: " while it takes over",
    Moment.DRAIN: " while the run drains",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seed", type=int, help="Of the dice; default: another one each time, and it is told.")
@click.option(
    "--faults",
    default="kill,stop,full,server",
    show_default=True,
    help="Also: acquirer, journal, journal_disk, board, clock, swept, session; one named twice is twice as likely.",
)
@click.option("--duration", default="20s", show_default=True, help="How long faults are injected.")
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where the run is kept.")
@click.option("--server-death", metavar="COMMAND", help="Kills a sink's server and starts it again.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done and found as JSON.")
def chaos(
    file: Path, seed: int | None, faults: str, duration: str, run_dir: Path, server_death: str | None, as_json: bool
) -> None:
    r"""Run your own topology on the simulated board, kill and stop its processes at random, and see what it costs.

    kill: SIGKILL to sinks, one or two at once, now and then in a commit, at the end of a row group or a segment, or to
    a successor that takes over; stop: SIGSTOP, now and then for longer than the ring; server: every connection to a
    database is cut, or the server of a sink dies, if --server-death says how; full: the disk of the run is filled, if
    it is a small one; acquirer: SIGKILL to the process that owns the board; journal: 20 times SIGKILL to the journal
    within 60 s; journal_disk: the folder of the journal is away for 30 s, and other sinks are killed meanwhile; swept:
    the run's runtime folder and the name of its memory are taken away, as a logout does, and a sink is killed;
    session: another login session looks at the run and would repair it. Afterwards every output is held to the board's
    formula, sample by sample.

    Ends with the verdict's exit code, and with 1 if anything that is promised did not hold.

    \b
    Example:
      dtopipe chaos heat-flux.yaml --duration 1min
      dtopipe chaos heat-flux.yaml --faults kill,acquirer --seed 7
      dtopipe chaos heat-flux.yaml --faults server --server-death "pg_ctl restart -m immediate -D /srv/pg"
    """
    chosen = random.SystemRandom().randrange(10**6) if seed is None else seed
    console = PipeSafeConsole(stderr=True)

    def show(fault: Fault) -> None:
        console.print(Text(f"{fault.at_s:8.2f} s  {_told(fault)}"), soft_wrap=True)

    try:
        lasting_s = seconds(duration)
    except ValueError as error:
        raise UsageError(f"--duration: {error}") from error
    outcome = campaign(file, run_dir, chosen, _kinds(faults), lasting_s, show, server_death)
    if as_json:
        print_json({"seed": chosen, **asdict(outcome)})
    else:
        _show(outcome, chosen)
    if outcome.broken:
        sys.exit(1)
    sys.exit(exit_code(outcome.record))


def _kinds(words: str) -> list[Kind]:
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    for word in wanted:
        if word not in list(Kind):
            raise UsageError(f"--faults: there is no fault {word!r}", nearest(word, Kind))
    return [Kind(word) for word in wanted]


def _told(fault: Fault) -> str:
    lasting = f" for {fault.lasted_s:.2f} s" if fault.lasted_s else ""
    return f"{fault.kind} {fault.victim}{lasting}{_WHEN[fault.moment]}"


def _show(outcome: Outcome, seed: int) -> None:
    console = Console()
    table = WholeTable()
    table.add_column("fault")
    table.add_column("victim")
    table.add_numbers("times")
    for (kind, victim), count in sorted(Counter((fault.kind, fault.victim) for fault in outcome.faults).items()):
        table.add_row(kind, Text(victim), str(count))
    console.print(table)
    for reason in outcome.skipped:
        console.print(Text(f"not injected: {reason}", style="yellow"), soft_wrap=True)
    console.print(outputs_table(outcome.record))
    acquired = outcome.record["acquired"]
    lost = f"{acquired['overrun_samples']:,} samples per channel lost by the board"
    console.print(Text(f"{len(outcome.faults)} faults, seed {seed}: {lost}"), soft_wrap=True)
    for sentence in outcome.broken:
        console.print(Text(f"BROKEN  {sentence}", style="bold red"), soft_wrap=True)
    if not outcome.broken:
        console.print(Text("every sample equals the board's formula, in order, once, or is a named gap", style="green"))
    console.print(verdict_line(outcome.record), soft_wrap=True)
    console.print(f"run folder: {outcome.folder}", soft_wrap=True, highlight=False)
