"""`dtopipe metrics`: a run for Prometheus."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import psutil

from dtopipe.cli.run_dir import RUN_DIR
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
    folder = find_living_run(run, run_dir) if pid is None else _begun_by(pid)
    if folder is None:
        return

    def ask() -> Mapping[str, Any] | None:
        answer = ask_run(folder, AskStatus(), StatusSnapshot)
        return None if answer is None else answer.snapshot

    if ask() is None:
        raise UsageError(f"{folder.path} is not in progress, as far as can be seen from here", "see: dtopipe runs")
    server = MetricsServer(ask, host, port)
    click.echo(f"{server.url}/metrics and {server.url}/healthz", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()


def beside(listen: str) -> list[str]:
    """The command that serves the run that this process is about to begin, at [HOST:]PORT. Raises UsageError."""
    host, _, port = listen.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(f"--metrics takes [HOST:]PORT, not {listen!r}", f"such as --metrics {_PORT}")
    if find_spec("prometheus_client") is None:
        raise UsageError("metrics need prometheus_client", 'pip install "dtopipe[metrics]"')
    where = ["--host", host.strip("[]") or "127.0.0.1", "--port", port]
    return [sys.executable, "-P", "-m", "dtopipe", "metrics", "--of", str(os.getpid()), *where]


def _begun_by(pid: int) -> RunFolder | None:
    """The run of that process, once it can be asked; None if the process ends before."""
    while psutil.pid_exists(pid):
        for entry in entries():
            facts = entry.read()
            if facts is not None and facts.pid == pid:
                return RunFolder(Path(facts.run_folder))
        time.sleep(_LOOK_EVERY_S)
    return None
