"""`dtopipe sinks`: types of sinks that are installed, with their options."""

from __future__ import annotations

import click

from dtopipe.cli.type_table import show_types
from dtopipe.topology.catalog import sink_options, sink_types


@click.command()
@click.argument("wanted", metavar="[TYPE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sinks(wanted: str | None, as_json: bool) -> None:
    r"""List types of sinks, or the options of one.

    \b
    Example:
      dtopipe sinks
      dtopipe sinks parquet
    """
    show_types(sink_types(), wanted, "sink", sink_options(), as_json=as_json)
