"""The command line: `dtopipe COMMAND`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from dtopipe import __version__
from dtopipe.model.errors import DtopipeError, TopologyError, UsageError

# Each is a module of this package with a command of the same name, imported when it is used.
_COMMANDS = (
    "up", "check", "runs", "status", "stop", "verify", "convert", "init", "schema", "boards", "sinks",
)  # fmt: skip


class _Commands(click.Group):
    """Imports a command when it is asked for, and turns our errors into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are needed."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"dtopipe.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; 2 for usage and topology, 1 for what could not be done."""
        try:
            return super().invoke(ctx)
        except (TopologyError, UsageError) as error:
            click.echo(f"dtopipe: {error}", err=True)
            sys.exit(2)
        except DtopipeError as error:
            click.echo(f"dtopipe: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dtopipe")
def main() -> None:
    r"""Data acquisition in which every sample is in the file or named in the run record.

    \b
    Start here:
      dtopipe init heat-flux.yaml     a commented topology
      dtopipe up heat-flux.yaml       run it; Ctrl-C ends it in order
      dtopipe verify heat-flux        recount every output
    """
