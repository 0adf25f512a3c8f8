"""The metadata of a run that is in a Postgres database, changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.sinks.postgres.connection import PostgresConnection
from dtopipe.sinks.postgres.notes import set_metadata
from dtopipe.sinks.postgres.schema import Tables, find_run
from dtopipe.sinks.postgres.server import config_of


def change_metadata(path: Path | None, run_id: str, metadata: Mapping[str, Any], **options: Any) -> None:
    """In one transaction. `options`: the sink's, as its topology has them. Raises SinkError."""
    config = config_of(options, str(options.get("schema")))
    tables, server = Tables(config), PostgresConnection(config)

    async def work(connection: Any) -> None:
        found = await find_run(connection, tables, run_id)
        if found is None:
            raise SinkError(config.target(), f"has no run {run_id}", "see its table runs")
        await set_metadata(connection, tables, found[0], metadata)

    try:
        server.connect()
        server.transaction(work)
    finally:
        server.close()
