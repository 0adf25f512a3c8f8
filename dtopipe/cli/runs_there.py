"""`dtopipe runs --on nats://...`: the runs of every device that is in the log of NATS servers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from dtopipe.boards.registry import following_type
from dtopipe.broker.address import Address, address_of
from dtopipe.broker.listing import SILENT_S, published_runs
from dtopipe.cli.console import Console
from dtopipe.cli.endpoint import link_of
from dtopipe.cli.length import length_text
from dtopipe.cli.output import print_json
from dtopipe.cli.run_filters import IN_PROGRESS, RunFilter
from dtopipe.cli.whole_table import WholeTable
from dtopipe.model.errors import UsageError
from dtopipe.topology.followed import followed_options


def list_published(endpoint: str, link: Sequence[str], wanted: RunFilter, *, as_json: bool) -> None:
    """Print them. Raises UsageError, TopologyError, BrokerError."""
    if set(wanted.verdicts) - {IN_PROGRESS}:
        raise UsageError("servers keep samples, and no verdicts", f"ask for --verdict '{IN_PROGRESS}', or without it")
    address = servers_of(endpoint, link)
    now = datetime.now(UTC)
    every = [(found, found.document(now)) for found in published_runs(address)]
    rows = [(found, document) for found, document in every if wanted.fits(document)]
    if as_json:
        print_json([document for _, document in rows])
        return
    table = WholeTable()
    for title in ("run", "device"):
        table.add_column(title)
    table.add_column("started", is_spare=True)
    table.add_numbers("samples", "gaps")
    table.add_column("length", justify="right", is_spare=True)
    table.add_column("state")
    for found, document in rows:
        started = found.started_at
        table.add_row(
            Text(found.run_name),
            Text(found.device),
            Text("" if started is None else f"{started.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
            f"{document['samples']:,}",
            f"{document['gaps']:,}",
            length_text(document["length_s"]),
            Text(_state(document)),
        )
    none = f"none of {len(every)} runs there is like that" if every else f"no runs in the stream {address.stream} there"
    Console().print(table if rows else none, markup=False)


def _state(document: dict[str, Any]) -> str:
    silent_s = document["silent_s"]
    if silent_s is None:
        return "ended"
    return "in progress" if silent_s < SILENT_S else f"nothing for {length_text(silent_s)}"


def servers_of(endpoint: str, link: Sequence[str]) -> Address:
    """The servers that `--on` and `--link` name. Raises UsageError, TopologyError."""
    if following_type(endpoint).links:
        message = f"{endpoint} is one machine, which has no list of runs"
        raise UsageError(message, f"see the run that it serves with: dtopipe top {endpoint}")
    return address_of(followed_options(link_of(endpoint, None, link, insecure=False)))
