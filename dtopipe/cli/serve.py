"""`dtopipe serve`: a run that has ended, for other machines that lack something of it."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click

from dtopipe.cli.console import Console
from dtopipe.cli.hangup import hangup_is_ignored
from dtopipe.cli.output import print_json
from dtopipe.cli.outside import outside_option
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.recovery import seen
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.gateway.gateway import Gateway, Limits
from dtopipe.host.run_folder import find_run
from dtopipe.model.errors import UsageError
from dtopipe.model.quantities import endpoint_text
from dtopipe.model.shown import shown
from dtopipe.repair.archived_run import ArchivedRun
from dtopipe.transport.key_folder import KeyFolder, keys_dir
from dtopipe.wire.message_fields import body_of
from dtopipe.wire.messages import GatewaySays, RemoteEvent, RemotesServed

_DEFAULT_ENDPOINT = "tcp://0.0.0.0:5700"
# Nobody who comes and goes is waited for.
_LIMITS = Limits(drain_ns=10**18)
_WORDS = {
    "remote_joined": "is here",
    "remote_finished": "has everything",
    "remote_left": "has what it lacked, or left",
    "remote_revoked": "is sent nothing more: its key was revoked",
    "remote_replaced": "has begun anew",
}


@click.command()
@click.argument("run")
@click.option(
    "--endpoint", metavar="TCP", help=f"Where to listen; default: as in the run's topology, else {_DEFAULT_ENDPOINT}."
)
@click.option("--insecure", is_flag=True, help="To everybody who can reach it, without keys.")
@click.option("--once", is_flag=True, help="End once somebody has fetched what they lacked, and nobody else is here.")
@outside_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print at the end who was here, as JSON.")
def serve(
    run: str, endpoint: str | None, insecure: bool, once: bool, outside: bool, run_dir: Path, as_json: bool
) -> None:
    r"""Serve a run that has ended to other machines, until Ctrl-C.

    For those that followed it and broke off: there, `dtopipe repair RUN --from tcp://THIS-MACHINE:5700` completes what
    they have; and for those that come too late: `attach` and board `remote` take it as they take a run in progress.
    It needs a raw file (a sink of type hbuf). RUN is a run folder, NAME, NAME/START or NAME/latest.

    \b
    Example:
      dtopipe serve heat-flux/latest
      dtopipe serve heat-flux/20261122T234100Z --endpoint tcp://0.0.0.0:5800 --once
    """
    folder = find_run(run, run_dir, outside=outside)
    found = seen(folder)
    if found.remedy and not found.held:
        raise UsageError(f"{folder.path} was killed, and its record is not complete", f"first: {found.remedy}")
    console = PipeSafeConsole(stderr=as_json)
    with console.status(f"reading {folder.path}"):
        source = ArchivedRun(folder)
    listen = folder.read_record()["topology"].get("listen") or {}
    endpoint = _checked(endpoint or str(listen.get("endpoint", _DEFAULT_ENDPOINT)))
    insecure = insecure or listen.get("insecure") is True
    hall = _Hall(console)
    gateway = Gateway(endpoint, None if insecure else KeyFolder(keys_dir()), _LIMITS, hall.hear)
    gateway.source = source
    _end_on_signals(hall)
    open_to_all = "  INSECURE LINK" if insecure else ""
    console.print(f"serving {folder.path} at {gateway.endpoint}{open_to_all}", soft_wrap=True, highlight=False)
    console.print(f"  {source.newest() - source.oldest(drops=False):,} samples per channel; Ctrl-C ends it")
    try:
        while not (hall.is_over or (once and hall.is_empty_again)):
            gateway.turn()
    finally:
        gateway.close()
    if as_json:
        print_json({"folder": str(folder.path), "endpoint": gateway.endpoint, "remotes": list(hall.remotes.values())})
    sys.exit(0)


class _Hall:
    """It tells which remotes come and go."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._here: set[str] = set()
        self.remotes: dict[str, dict[str, Any]] = {}
        self.is_over = False

    @property
    def is_empty_again(self) -> bool:
        """True if somebody was here, and nobody is."""
        return bool(self.remotes) and not self._here

    def hear(self, message: GatewaySays) -> None:
        """What the gateway tells a supervisor."""
        if isinstance(message, RemotesServed):
            for remote in message.remotes:
                self.remotes[remote.remote_id] = body_of(remote)
        elif isinstance(message, RemoteEvent):
            self._happened(message)

    def _happened(self, message: RemoteEvent) -> None:
        if message.remote is None:
            facts = message.facts()
            text = f"refused: {facts['why']}, {facts['name'] or facts['key']}, from {facts['address']}"
        else:
            if message.event == "remote_joined":
                self._here.add(message.remote)
            else:
                self._here.discard(message.remote)
            self.remotes[message.remote] = {"id": message.remote, **body_of(message)}
            text = f"{message.shown_name} {_WORDS.get(message.event, message.event)}"
        self._console.print(
            shown(f"{time.strftime('%H:%M:%SZ', time.gmtime())}  {text}"), soft_wrap=True, highlight=False, markup=False
        )


def _checked(endpoint: str) -> str:
    try:
        return endpoint_text(endpoint)
    except ValueError as error:
        raise UsageError(f"--endpoint: {error}") from None


def _end_on_signals(hall: _Hall) -> None:
    def end(number: int, frame: FrameType | None) -> None:
        hall.is_over = True

    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name) and not hangup_is_ignored(getattr(signal, name)):
            signal.signal(getattr(signal, name), end)
