"""`dtopipe init`: a commented topology to start from."""

from __future__ import annotations

from pathlib import Path

import click

from dtopipe.model.errors import UsageError
from dtopipe.topology.starter import STARTER


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("topology.yaml"))
def init(file: Path) -> None:
    r"""Write a commented topology that runs as it is; the default FILE is topology.yaml.

    \b
    Example:
      dtopipe init heat-flux.yaml
    """
    try:
        with file.open("x", encoding="utf-8", newline="\n") as opened:
            opened.write(STARTER)
    except FileExistsError as error:
        raise UsageError(f"{file} exists already", "name another file: dtopipe init OTHER.yaml") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "name another place") from error
    name = f'"{file}"' if " " in str(file) else str(file)
    click.echo(f"wrote {file}; run it with: dtopipe up {name}")
