"""The command line: `dtopipe COMMAND`."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click

from dtopipe.host.open_files import OF_A_COMMAND, ensure_open_files
from dtopipe.model.errors import DtopipeError, TopologyError, UsageError
from dtopipe.model.shown import shown_lines

# Nothing here multiplies matrices: a pool of threads would be half of what numpy costs to start, in every process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Each is a module of this package with a command of the same name, imported when it is used. In the order in which
# they are needed; the words stand here so that help needs none of the modules.
_COMMANDS = {
    "up": "Run a topology: board, sinks, live table, verdict.",
    "check": "Validate a topology without starting it.",
    "runs": "List runs, past and in progress.",
    "status": "Show how a run is, or how it ended.",
    "web": "Serve a page of a run, or of all runs, for a browser.",
    "top": "Watch a run in progress: processes, newest values, and who limits it.",
    "why": "Say which process limits a run, and what to type about it.",
    "tail": "Print what is committed to an output, and follow it.",
    "stop": "End a run in order.",
    "mark": "Give a moment of a run in progress a name.",
    "meta": "Show a run's metadata, and change them.",
    "attach": "Add a sink to a run in progress.",
    "detach": "Take a sink out of a run in progress.",
    "restart": "Start a sink of a run in progress anew.",
    "verify": "Recount every output of a run from its files.",
    "report": "Write one HTML file that tells of a run.",
    "metrics": "Serve a run in progress to Prometheus.",
    "serve": "Serve a run that has ended to other machines.",
    "repair": "Refill outputs that are not whole from where else the samples are.",
    "chaos": "Kill and stop a topology's processes at random, and see what it costs.",
    "convert": "Write a run or a .dt-raw file into another kind of output.",
    "init": "Write a commented topology to start from.",
    "schema": "Print the JSON Schema of a topology, for editors.",
    "boards": "List types of boards, with their options.",
    "sinks": "List types of sinks, with their options.",
    "plugin": "Write a package to start a sink or a board of your own from.",
    "keys": "Make this machine's key, and say whose keys may connect.",
}


class _Commands(click.Group):
    """Imports a command when it is asked for, and turns our errors into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they are needed."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        with _no_search_for_garbage():
            command: click.Command = getattr(import_module(f"dtopipe.cli.{cmd_name}"), cmd_name)
        _keep_lines(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands and what they do, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; 2 for usage and topology, 1 for what could not be done."""
        # Nor at the end in all that was loaded, which goes with the process.
        atexit.register(gc.freeze)
        _name_any_letter()
        _write_any_letter()
        try:
            ensure_open_files(OF_A_COMMAND)
            return super().invoke(ctx)
        except TopologyError as error:
            count = len(error.problems)
            problems = "\n".join(shown_lines(str(problem)) for problem in error.problems)
            click.echo(f"{problems}\ndtopipe: {count} problem{'s' if count > 1 else ''}; nothing was started", err=True)
            sys.exit(2)
        except UsageError as error:
            click.echo(shown_lines(f"dtopipe: {error}"), err=True)
            sys.exit(2)
        except DtopipeError as error:
            click.echo(shown_lines(f"dtopipe: {error}"), err=True)
            sys.exit(1)
        except UnicodeEncodeError as error:
            if error.encoding != sys.getfilesystemencoding():
                raise
            letters = str(error.object)[error.start : error.end]
            message = f"dtopipe: names of files have no {letters!r} here, where they are {error.encoding}"
            click.echo(shown_lines(f"{message}\n    set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"), err=True)
            sys.exit(2)


@contextlib.contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Loading makes much and drops nothing: to look for garbage meanwhile is a tenth of a command's start."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _keep_lines(command: click.Command) -> None:
    """Click keeps the lines of a paragraph that begins with a backspace, which a raw docstring cannot hold."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    if isinstance(command, click.Group) and not isinstance(command, _Commands):
        for part in command.commands.values():
            _keep_lines(part)


def _name_any_letter() -> None:
    """The command begins again in UTF-8 mode where an ASCII locale would allow no name with any other letter.

    So do the processes that this one starts.
    """
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode and sys.executable:
        command = [sys.executable, "-P", "-m", "dtopipe", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606


def _write_any_letter() -> None:
    """Names may have any letters, and JSON is UTF-8, whatever a pipe's encoding would be."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dtopipe", prog_name="dtopipe")
def main() -> None:
    r"""Data acquisition in which every sample is in the file or named in the run record.

    \b
    Start here:
      dtopipe init heat-flux.yaml     a commented topology
      dtopipe up heat-flux.yaml       run it; Ctrl-C ends it in order
      dtopipe verify heat-flux        recount every output
    """


_keep_lines(main)
