"""What commands that speak with another machine are told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dtopipe.boards.registry import following_type
from dtopipe.model.errors import UsageError
from dtopipe.model.quantities import endpoint_text
from dtopipe.topology.source_locations import parse_value
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


def link_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--link`."""
    return click.option(
        "--link", "link", multiple=True, metavar="KEY=VALUE",
        help="A key of the board that follows nats://, such as run_name=heat-flux or password='${NATS_PASSWORD}'.",
    )(command)  # fmt: skip


def link_of(endpoint: str, server_key: Path | None, link: Sequence[str] = (), *, insecure: bool) -> dict[str, Any]:
    """The keys of the board that follows what is at this endpoint. Raises UsageError."""
    if not following_type(endpoint).links:
        if server_key is not None or insecure:
            raise UsageError(
                "--server-key and --insecure are for tcp://",
                "say who asks NATS servers with --link credentials=FILE, or user=, password=, ca=",
            )
        return {"endpoint": endpoint, **dict(map(_key_and_value, link))}
    if link:
        raise UsageError("--link is for nats://", "tcp:// takes --server-key and --insecure")
    ensure_endpoint(endpoint)
    key = server_key_of(endpoint, server_key, insecure=insecure)
    return {"endpoint": endpoint, **({"insecure": True} if key is None else {"server_key": str(key)})}


def _key_and_value(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--link {text}: has no value", "write --link KEY=VALUE")
    if key == "endpoint":
        raise UsageError("--link endpoint: the endpoint is given already", "take it out")
    return key, parse_value(value, f"--link {key}")


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
