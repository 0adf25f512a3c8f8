"""`--outside`, of every command that reads outputs by a run record."""

from __future__ import annotations

import click

outside_option = click.option(
    "--outside",
    is_flag=True,
    help="Also use outputs that lie outside of the run folder, or on another server, as its topology names them.",
)
