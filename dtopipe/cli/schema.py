"""`dtopipe schema`: JSON Schema of a topology."""

from __future__ import annotations

import click

from dtopipe.cli.output import print_json
from dtopipe.topology.catalog import json_schema


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same: the schema is JSON.")
def schema(as_json: bool) -> None:
    r"""Print the JSON Schema of a topology, for completion in editors.

    \b
    Example:
      dtopipe schema > topology.schema.json
      and at the top of a topology:
      # yaml-language-server: $schema=topology.schema.json
    """
    print_json(json_schema())
