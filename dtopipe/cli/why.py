"""`dtopipe why`: who limits a run, since when, in which call, and what to type about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.endpoint import endpoint_options, ensure_no_link
from dtopipe.cli.onlooker_there import status_there
from dtopipe.cli.output import print_json
from dtopipe.cli.recovery import seen
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.cli.why_words import Why, told_of, why_now, why_then
from dtopipe.host.run_folder import find_living_run
from dtopipe.host.run_life import ensure_reached
from dtopipe.model.errors import UsageError
from dtopipe.model.shown import shown
from dtopipe.transport.run_link import ask_run
from dtopipe.transport.source_link import is_endpoint
from dtopipe.wire.commands import AskStatus, StatusSnapshot

# Waiting for work: it stands in its own column.
_IDLE = ("idle", "wait")


@click.command()
@click.argument("run", required=False, metavar="[RUN or ENDPOINT]")
@endpoint_options
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(run: str | None, server_key: Path | None, insecure: bool, run_dir: Path, as_json: bool) -> None:
    r"""Say which process limits a run, since when, in which call, and what to type about it.

    RUN is a run folder, NAME, NAME/START or NAME/latest; without it, the only run in progress. ENDPOINT, as
    tcp://daq-pc:5700, is where another machine serves a run in progress. Of a run that is over it says who limited it
    in the end. Writes nothing.

    \b
    Example:
      dtopipe why
      dtopipe why heat-flux/latest --json
      dtopipe why tcp://daq-pc:5700
    """
    if run is not None and is_endpoint(run):
        with status_there(run, server_key, insecure=insecure) as there:
            told = why_now(there)
            type_this = told.type_this and f"there: {told.type_this}"
            _show(Why(told.sentence, type_this), there["limiting"], _table(there), as_json=as_json)
        return
    ensure_no_link(server_key, insecure=insecure)
    folder = find_living_run(run, run_dir)
    answer = ask_run(folder, AskStatus(), StatusSnapshot)
    if answer:
        status = dict(answer.snapshot)
        if "limiting" not in status:
            raise UsageError("that run was started by an older dtopipe, which does not tell it", "dtopipe status")
        _show(why_now(status), status["limiting"], _table(status), as_json=as_json)
        return
    ensure_reached(folder, "why")
    record = seen(folder).record
    limited = told_of(record)
    _show(why_then(record), {"limited": limited}, _table_of_record(limited), as_json=as_json)


def _show(answer: Why, facts: dict[str, Any], table: WholeTable | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"why": answer.sentence, "type": answer.type_this, **facts})
        return
    console = Console()
    console.print(Text(shown(answer.sentence)), soft_wrap=True)
    if answer.type_this:
        console.print(Text(shown(answer.type_this)), soft_wrap=True)
    if table is not None:
        console.print(table)


def _table(status: dict[str, Any]) -> WholeTable:
    """A line for each process and call of the last seconds: its share, and how long such a call takes."""
    table = WholeTable()
    table.add_column("process", keeps=Keeps.WORDS)
    table.add_numbers("lag", "works", "cores")
    table.add_column("mostly in")
    table.add_numbers("last", "mean", "longest")
    for name, process in status["limiting"]["processes"].items():
        work = {call: share for call, share in process["shares"].items() if call not in _IDLE}
        # A process that has no work is best known by what it waits in.
        shares = work or process["shares"]
        call = max(shares, key=lambda each: shares[each], default="")
        timing = process["calls"].get(call)
        lag = f"{status['sinks'][name]['lag_s']:.1f} s" if name in status["sinks"] else ""
        cores = f"{process['cpu']:.2f}" if "cpu" in process else ""
        times = [_time(timing[key]) if timing else "" for key in ("last_s", "mean_s", "max_s")]
        table.add_row(shown(name), lag, f"{min(1.0, sum(work.values())):.0%}", cores, call, *times)
    return table


def _table_of_record(limited: list[dict[str, Any]]) -> WholeTable | None:
    if not limited:
        return None
    table = WholeTable()
    for title in ("process", "how", "call"):
        table.add_column(title, keeps=Keeps.WORDS)
    table.add_numbers("for")
    for title in ("since", "until"):
        table.add_column(title)
    for each in limited:
        row = (each["process"], each["how"], each["call"], f"{each['for_s']:.1f} s", each["since"], each["until"])
        table.add_row(*map(shown, row))
    return table


def _time(seconds: float) -> str:
    for limit, factor, unit in ((1.0, 1.0, "s"), (1e-3, 1e3, "ms")):
        if seconds >= limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
