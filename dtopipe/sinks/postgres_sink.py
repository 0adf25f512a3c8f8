"""Postgres for programs; importable without asyncpg."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.postgres_config import PostgresConfig
from dtopipe.sinks.base import OutputOptions, SinkWriter
from dtopipe.sinks.tabular import TabularSink, output_options


class PostgresSink(TabularSink):
    """Tables of a Postgres database for programs: readings and blocks, with every sample of a block.

    `layout`: `wide`, a row a sample, or `long`, a row a sample and channel. `on_exists`: what becomes of a run of the
    same id that is there. Needs the extra `postgres`. Raises SinkUnavailable while the server is away: the same write
    may be made again, nothing is stored twice.
    """

    def __init__(
        self,
        config: PostgresConfig,
        *,
        layout: str | Layout = Layout.WIDE,
        on_exists: str | OnExists = OnExists.ERROR,
    ) -> None:
        self._config = config
        super().__init__(output_options(None, layout, on_exists))

    @property
    def config(self) -> PostgresConfig:
        """As it was constructed."""
        return self._config

    @property
    def name(self) -> str:
        """Where it writes to, without credentials."""
        return self._config.target()

    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """A run in the database. Raises SinkDependencyError without asyncpg."""
        from dtopipe.sinks.postgres import PostgresWriter

        options: dict[str, Any] = asdict(self._config)
        return PostgresWriter(output, **options)

    def _check(self) -> None:
        """Also that the server is there. Raises SinkUnavailable, SinkError."""
        from dtopipe.sinks.postgres_connection import PostgresConnection

        super()._check()
        server = PostgresConnection(self._config)
        try:
            server.connect()
        finally:
            server.close()
