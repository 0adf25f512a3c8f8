"""`dtopipe status`: one snapshot of a run."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.endpoint import endpoint_options, ensure_no_link
from dtopipe.cli.live_table import status_table
from dtopipe.cli.onlooker_there import status_there
from dtopipe.cli.output import print_json
from dtopipe.cli.recovery import Seen, seen
from dtopipe.cli.remedy_lines import print_remedy
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.verdict_text import outputs_table, verdict_line
from dtopipe.host.run_folder import find_living_run
from dtopipe.transport.run_link import ask_run
from dtopipe.transport.source_link import is_endpoint
from dtopipe.wire.commands import AskStatus, StatusSnapshot


@click.command()
@click.argument("run", required=False, metavar="[RUN or ENDPOINT]")
@endpoint_options
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(run: str | None, server_key: Path | None, insecure: bool, run_dir: Path, as_json: bool) -> None:
    r"""Show how a run is: one in progress as it is now, a past one as it ended.

    RUN is a run folder, NAME, NAME/START or NAME/latest; without it, the only run in progress. ENDPOINT, as
    tcp://daq-pc:5700, is where another machine serves a run in progress. Writes nothing: of a run that was killed it
    shows what is known, and `dtopipe repair RUN` completes its record.

    \b
    Example:
      dtopipe status
      dtopipe status heat-flux/latest --json
      dtopipe status tcp://daq-pc:5700
    """
    if run is not None and is_endpoint(run):
        with status_there(run, server_key, insecure=insecure) as there:
            print_json(there) if as_json else Console().print(status_table(there))
        return
    ensure_no_link(server_key, insecure=insecure)
    folder = find_living_run(run, run_dir)
    answer = ask_run(folder, AskStatus(), StatusSnapshot)
    found = Seen(dict(answer.snapshot)) if answer else seen(folder)
    record = found.record
    if as_json:
        print_json(record | ({"remedy": found.remedy} if found.remedy else {}))
        return
    console = Console()
    if answer:
        console.print(status_table(record))
        return
    console.print(outputs_table(record))
    console.print(Text(found.held) if found.held else verdict_line(record), soft_wrap=True)
    if found.remedy:
        console.print(f"  {found.remedy}", soft_wrap=True, highlight=False, markup=False)
    else:
        print_remedy(console, record, folder.path)
    console.print(f"run folder: {folder.path}", soft_wrap=True, highlight=False)
