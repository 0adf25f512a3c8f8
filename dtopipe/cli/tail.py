"""`dtopipe tail`: follows an output by its commits."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dtopipe.cli.outside import outside_option
from dtopipe.cli.row_lines import RowLines
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.run_folder import find_run
from dtopipe.model.errors import UsageError
from dtopipe.model.shown import shown, shown_lines
from dtopipe.verify.tail import OutputTail


@click.command()
@click.argument("name")
@click.argument("run", required=False)
@click.option(
    "--from", "since", metavar="WHERE", default="earliest", show_default=True,
    help="earliest: all that is in it; latest: what is committed from now on; or a sample index.",
)  # fmt: skip
@outside_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print each row as a line of JSON.")
def tail(name: str, run: str | None, since: str, outside: bool, run_dir: Path, as_json: bool) -> None:
    r"""Print what is committed to an output, and what is from then on: whole lines or rows only.

    NAME is the sink's name. Lines of CSV and JSON Lines are printed as they stand; rows of any other output as lines of
    CSV with sample index, times and values in their units. Ends with the run, once everything is printed, or at
    Ctrl-C. RUN is a run folder, NAME, NAME/START or NAME/latest, of one that has ended too; without it, the only run in
    progress. Writes nothing.

    \b
    Example:
      dtopipe tail view
      dtopipe tail table heat-flux/latest --from 120000 > rest.csv
      dtopipe tail columns --from latest --json
    """
    output = OutputTail(find_run(run, run_dir, outside=outside), name, _start(since), _say)
    try:
        if output.is_text and not as_json:
            for lines in output.lines():
                _print(lines)
            return
        lines_of = RowLines(as_json=as_json)
        for rows in output.rows():
            _print(lines_of(output.stream, rows).encode(errors="replace"))
    except KeyboardInterrupt:
        # That is how it is ended.
        return


def _start(since: str) -> str | int:
    if since in ("earliest", "latest"):
        return since
    if since.isdecimal():
        return int(since)
    raise UsageError(f"--from cannot be {since!r}", "use earliest, latest, or a sample index")


def _print(lines: bytes) -> None:
    """To a pipe or a file as the bytes that they are; a terminal is not steered by them."""
    if sys.stdout.isatty():
        text = lines.decode(errors="replace")
        sys.stdout.write("\n".join(map(shown, text.split("\n"))))
    else:
        sys.stdout.buffer.write(lines)
    sys.stdout.flush()


def _say(text: str) -> None:
    click.echo(shown_lines(text), err=True)
