"""`dtopipe web`: a page of a run in progress, or of all runs, for any browser."""

from __future__ import annotations

import os
import secrets
import socket
from importlib.util import find_spec
from pathlib import Path

import click

from dtopipe.cli.endpoint import endpoint_options, link_option
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.runs_there import servers_of
from dtopipe.host.http_address import Address, address_of, listening_socket
from dtopipe.host.open_files import ensure_open_files
from dtopipe.host.run_folder import find_run
from dtopipe.model.errors import UsageError
from dtopipe.transport.source_link import is_endpoint

_PORT = 8480
# What a parent gives it, or a user who wants one that lasts; other users cannot read it there.
TOKEN_VARIABLE = "DTOPIPE_WEB_TOKEN"  # noqa: S105
_OPEN_FILES = 256
_SHORTEST_TOKEN = 16


@click.command()
@click.argument("run", metavar="[RUN | ENDPOINT]", required=False)
@click.option(
    "--listen", metavar="[HOST:]PORT", help=f"Where; default: this machine alone, port {_PORT} or a free one."
)
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--on", "servers", metavar="NATS", help="List the runs of every device on nats://host:4222 too.")
@link_option
@endpoint_options
@click.option("--beside", is_flag=True, hidden=True, help="End with the run, once nobody looks any more.")
def web(
    run: str | None,
    listen: str | None,
    run_dir: Path,
    servers: str | None,
    link: tuple[str, ...],
    server_key: Path | None,
    insecure: bool,
    beside: bool,
) -> None:
    r"""Serve a page: traces, pipeline, events and verdict of a run; without RUN of all runs, past and in progress.

    It reads the run as a passer-by does: nothing is held, nothing is written into a run folder but the marks that
    somebody sets on the page, and it may be ended and started at any time. Without --listen, or with a port alone, this
    machine alone can connect; other machines need the token in the URL that is printed (or DTOPIPE_WEB_TOKEN).
    ENDPOINT is where another machine serves its run. Ctrl-C ends it. Needs the extra `web`.

    \b
    Example:
      dtopipe web
      dtopipe web heat-flux --listen 8080
      dtopipe web heat-flux --listen 0.0.0.0:8080
      dtopipe web tcp://daq-pc:5700
      dtopipe web --on nats://server:4222
    """
    ensure_web()
    # Only with the extra.
    from dtopipe.web.runs import Shown
    from dtopipe.web.server import Settings, serve

    if servers is not None and run is not None:
        raise UsageError("--on adds to the list of runs, and RUN is one alone", "leave one of them out")
    if link and servers is None:
        raise UsageError("--link is for --on", "name the servers: --on nats://host:4222")
    if run is not None and is_endpoint(run):
        shown = Shown(run_dir, endpoint=run, server_key=server_key, insecure=insecure)
    else:
        found = None if servers is None else servers_of(servers, link)
        shown = Shown(run_dir, None if run is None else find_run(run, run_dir).path, servers=found)
    ensure_open_files(_OPEN_FILES)
    wanted = address_of(listen) if listen is not None else None
    listening = _any_socket() if wanted is None else listening_socket(wanted)
    host = "127.0.0.1" if wanted is None else wanted.host
    address = Address(host, listening.getsockname()[1])
    token = token_for(address)
    settings = Settings(address, token, shown, is_beside=beside)

    def say() -> None:
        click.echo(f"page: {address.url(token)}")
        if not beside:
            click.echo("Ctrl-C ends it; runs go on", err=True)

    serve(settings, listening, say)


def ensure_web() -> None:
    """Raises UsageError where the page's library is not installed."""
    # Found, not loaded: who supervises a run with a page has no use for it.
    if find_spec("aiohttp") is None:
        raise UsageError("the page needs aiohttp", "pip install 'dtopipe[web]'")


def token_for(address: Address) -> str:
    """The token there; empty on loopback, unless somebody has set one. Raises UsageError."""
    given = os.environ.get(TOKEN_VARIABLE, "")
    if given and (len(given) < _SHORTEST_TOKEN or not given.isascii() or not given.replace("-", "_").isidentifier()):
        raise UsageError(
            f"{TOKEN_VARIABLE} is no token", f"use {_SHORTEST_TOKEN} letters, digits, - and _ or more, a letter first"
        )
    return given or ("" if address.is_loopback else f"t{secrets.token_urlsafe(24)}")


def _any_socket() -> socket.socket:
    """The usual port, or a free one where that is taken."""
    try:
        return listening_socket(Address("127.0.0.1", _PORT))
    except UsageError:
        return listening_socket(Address("127.0.0.1", 0))
