"""`dtopipe metrics`: a run for Prometheus."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import psutil

from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.http_address import Address, address_of, listening_socket
from dtopipe.host.own_python import own_command
from dtopipe.host.run_folder import RunFolder, find_living_run
from dtopipe.host.runtime import entries
from dtopipe.metrics.server import MetricsServer
from dtopipe.model.errors import UsageError
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot

_PORT = 9464
_LOOK_EVERY_S = 0.1


@click.command()
@click.argument("run", required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=_PORT, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for every machine: names are seen there.")
@click.option("--of", "pid", type=int, hidden=True, help="The process whose runs these are: `up --metrics`.")
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
def metrics(run: str | None, port: int, host: str, pid: int | None, run_dir: Path) -> None:
    r"""Serve a run in progress to Prometheus: /metrics, and /healthz for who only asks whether it is well.

    It ends with the run, or at Ctrl-C, and never disturbs it. /healthz answers 503, with the reasons as JSON, while
    samples are being lost or none has arrived for three blocks. RUN is a run folder, NAME, NAME/START or NAME/latest;
    without it, the only run in progress.

    \b
    Example:
      dtopipe metrics heat-flux/latest --port 9464
    """
    address = Address(host, port)
    with contextlib.suppress(KeyboardInterrupt):
        if pid is not None:
            for folder in _begun_by(pid):
                _serve(folder, address)
            return
        folder = find_living_run(run, run_dir)
        if _snapshot(folder) is None:
            raise UsageError(f"{folder.path} is not in progress, as far as can be seen from here", "see: dtopipe runs")
        _serve(folder, address)


def _snapshot(folder: RunFolder) -> Mapping[str, Any] | None:
    answer = ask_run(folder, AskStatus(), StatusSnapshot)
    return None if answer is None else answer.snapshot


def _serve(folder: RunFolder, address: Address) -> None:
    """Serve this run to its end. Raises UsageError."""
    listening = listening_socket(address, "metrics")
    url = Address(address.host, listening.getsockname()[1]).url
    # Who began it may be gone, and with it who hears this.
    with contextlib.suppress(OSError):
        click.echo(f"{url(path='/metrics')} and {url(path='/healthz')}", err=True)
    MetricsServer(partial(_snapshot, folder), listening).serve()


def beside(listen: str) -> list[str]:
    """The command that serves the runs that this process is about to begin, at [HOST:]PORT. Raises UsageError."""
    address = address_of(listen)
    if not address.port:
        raise UsageError("metrics need a port", f"such as --metrics {_PORT}")
    if find_spec("prometheus_client") is None:
        raise UsageError("metrics need prometheus_client", 'pip install "dtopipe[metrics]"')
    listening_socket(address, "metrics").close()
    where = ["--host", address.host, "--port", str(address.port)]
    return own_command("dtopipe", "metrics", "--of", str(os.getpid()), *where)


def _begun_by(pid: int) -> Iterator[RunFolder]:
    """Each run of that process, once it can be asked, until the process ends."""
    served: set[str] = set()
    while psutil.pid_exists(pid):
        for entry in entries():
            facts = entry.read()
            if facts is not None and facts.pid == pid and facts.run_folder not in served:
                served.add(facts.run_folder)
                yield RunFolder(Path(facts.run_folder))
        time.sleep(_LOOK_EVERY_S)
