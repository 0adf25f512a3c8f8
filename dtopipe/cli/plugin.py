"""`dtopipe plugin`: packages to start a sink or a board of one's own from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from dtopipe.cli.output import print_json
from dtopipe.model.errors import UsageError
from dtopipe.plug_ins.new import Kind, write_plug_in
from dtopipe.topology.catalog import board_types, sink_types


@click.group()
def plugin() -> None:
    r"""Write sinks and boards of your own, as packages that every command finds once they are installed.

    \b
    Example:
      dtopipe plugin new sink lines
      dtopipe plugin new board strain-gauge
    """


@plugin.command()
@click.argument("kind", type=click.Choice(["sink", "board"]))
@click.argument("name")
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where to write it, a folder that is empty or not there; default: dtopipe-NAME in the current folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def new(kind: str, name: str, folder: Path | None, as_json: bool) -> None:
    r"""Write a small package with a sink or a board that works, and tests of all that it has to keep.

    NAME is what topologies will call it. Nothing that is there is overwritten.

    \b
    Example:
      dtopipe plugin new sink lines
      cd dtopipe-lines
      pip install -e ".[test]"
      pytest
    """
    known = sink_types() if kind == "sink" else board_types()
    if name in [entry.name for entry in known]:
        raise UsageError(
            f"there is a {kind} of type {name!r} already", f"choose another name: dtopipe {kind}s lists all"
        )
    written = write_plug_in(cast(Kind, kind), name, folder)
    if as_json:
        print_json(
            {
                "kind": written.kind,
                "type": written.type,
                "folder": str(written.folder.absolute()),
                "files": [path.as_posix() for path in written.files],
            }
        )
        return
    click.echo(f"wrote {written.folder}: " + ", ".join(path.as_posix() for path in written.files))
    place = f'"{written.folder}"' if " " in str(written.folder) else str(written.folder)
    click.echo(f'next: cd {place} && pip install -e ".[test]" && pytest')
