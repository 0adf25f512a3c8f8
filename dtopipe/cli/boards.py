"""`dtopipe boards`: types of boards that are installed, with their options."""

from __future__ import annotations

import click

from dtopipe.cli.type_table import show_types
from dtopipe.topology.catalog import board_options, board_types, channel_options


@click.command()
@click.argument("wanted", metavar="[TYPE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def boards(wanted: str | None, as_json: bool) -> None:
    r"""List types of boards, or the options of one and of its channels.

    \b
    Example:
      dtopipe boards
      dtopipe boards simulated
    """
    show_types(board_types(), wanted, "board", board_options(), channel_options(), as_json=as_json)
