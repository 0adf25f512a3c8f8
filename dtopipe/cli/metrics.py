"""`dtopipe metrics`: a run for Prometheus."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.run_folder import find_living_run
from dtopipe.metrics.server import MetricsServer
from dtopipe.model.errors import UsageError
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot

_PORT = 9464


@click.command()
@click.argument("run", required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=_PORT, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for every machine: names are seen there.")
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
def metrics(run: str | None, port: int, host: str, run_dir: Path) -> None:
    r"""Serve a run in progress to Prometheus: /metrics, and /healthz for who only asks whether it is well.

    It ends with the run, or at Ctrl-C, and never disturbs it. /healthz answers 503, with the reasons as JSON, while
    samples are being lost or none has arrived for three blocks. RUN is a run folder, NAME, NAME/START or NAME/latest;
    without it, the only run in progress.

    \b
    Example:
      dtopipe metrics heat-flux/latest --port 9464
    """
    folder = find_living_run(run, run_dir)

    def ask() -> Mapping[str, Any] | None:
        answer = ask_run(folder, AskStatus(), StatusSnapshot)
        return None if answer is None else answer.snapshot

    if ask() is None:
        raise UsageError(f"{folder.path} is not in progress, as far as can be seen from here", "see: dtopipe runs")
    server = MetricsServer(ask, host, port)
    click.echo(f"{server.url}/metrics and {server.url}/healthz", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()
