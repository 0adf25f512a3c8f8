"""What commands that speak with another machine are told of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dtopipe.model.errors import UsageError
from dtopipe.model.quantities import endpoint_text
from dtopipe.transport.source_link import server_key_of


def endpoint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--server-key` and `--insecure`."""
    with_key = click.option(
        "--server-key",
        type=click.Path(path_type=Path),
        metavar="FILE.pub",
        help="That machine's public key; without it the authorized key that is named like its host.",
    )
    insecure = click.option("--insecure", is_flag=True, help="Without keys; the other side must say so too.")
    return with_key(insecure(command))


def link_of(endpoint: str, server_key: Path | None, *, insecure: bool) -> dict[str, Any]:
    """The keys of a board `remote` for this link. Raises UsageError."""
    ensure_endpoint(endpoint)
    key = server_key_of(endpoint, server_key, insecure=insecure)
    return {"endpoint": endpoint, **({"insecure": True} if key is None else {"server_key": str(key)})}


def ensure_endpoint(text: str) -> None:
    """Raises UsageError for what is no endpoint."""
    try:
        endpoint_text(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def ensure_no_link(server_key: Path | None, *, insecure: bool) -> None:
    """Raises UsageError for what is said of a link where there is none: the run is one of this machine."""
    if server_key is not None or insecure:
        raise UsageError("--server-key and --insecure belong to an endpoint", "name it, as in tcp://daq-pc:5700")


def host_of(endpoint: str) -> str:
    """The name of the run that follows this endpoint: its host's, fit for a folder."""
    host = endpoint.partition("://")[2].rpartition(":")[0].strip("[]")
    return "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in host)
