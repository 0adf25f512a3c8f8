"""The sinks that a program writes to itself; a format's own modules are imported when its sink writes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dtopipe.model.identifiers import identifier
from dtopipe.model.policy import Layout, OnExists
from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.postgres.config import PostgresConfig
from dtopipe.sinks.programs.tabular import TabularSink, output_options


class _TextSink(TabularSink):
    """What sinks of text have in common: blocks are taken from who asks for that."""

    def __init__(
        self,
        path: str | Path,
        *,
        accept_blocks: bool = False,
        layout: str | Layout = Layout.WIDE,
        on_exists: str | OnExists = OnExists.ERROR,
    ) -> None:
        super().__init__(output_options(path, layout, on_exists))
        self.takes_blocks = accept_blocks


class CsvSink(_TextSink):
    """CSV for programs: readings, or blocks with `accept_blocks`.

    `dialect`: `rfc4180`, or `excel` for what a spreadsheet opens right, then with the decimal sign of `locale` (such as
    `de_DE`; needs the extra `excel`), or with `decimal` and `delimiter` as they are given (`tab` is a delimiter too).
    `layout`: `wide`, a row a sample, or `long`, a row a sample and channel. `on_exists`: `error`, `rename`,
    `overwrite` or `append`. Raises SinkOptionError, SinkDependencyError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        accept_blocks: bool = False,
        dialect: str = "rfc4180",
        locale: str | None = None,
        decimal: str | None = None,
        delimiter: str | None = None,
        layout: str | Layout = Layout.WIDE,
        on_exists: str | OnExists = OnExists.ERROR,
    ) -> None:
        super().__init__(path, accept_blocks=accept_blocks, layout=layout, on_exists=on_exists)
        self._options: dict[str, Any] = {
            "dialect": dialect,
            "locale": locale,
            "decimal": decimal,
            "delimiter": delimiter,
        }
        self.new_writer(self._output)

    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """Rows of text."""
        from dtopipe.sinks.text.dialects import csv_writer

        return csv_writer(output, **self._options)


class JsonlSink(_TextSink):
    """JSON Lines for programs: readings, or blocks with `accept_blocks`.

    `layout`: `wide`, a row a sample, or `long`, a row a sample and channel. `on_exists`: `error`, `rename`,
    `overwrite` or `append`.
    """

    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """An object a row."""
        from dtopipe.sinks.text.jsonl import JsonlWriter

        return JsonlWriter(output)


class SqliteSink(TabularSink):
    """Tables in one SQLite file for programs: readings and blocks, with every sample of a block.

    `table_readings`, `table_blocks`: names of these tables; `journal_mode`, `synchronous`, `busy_timeout_ms`: as
    SQLite's pragmas. `layout`: `wide`, a row a sample, or `long`, a row a sample and channel. `on_exists`: `error`,
    `rename`, `overwrite` or `append`, which adds a run. Raises SinkOptionError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        table_readings: str = "readings",
        table_blocks: str = "blocks",
        journal_mode: str = "WAL",
        synchronous: str = "NORMAL",
        busy_timeout_ms: int = 5000,
        layout: str | Layout = Layout.WIDE,
        on_exists: str | OnExists = OnExists.ERROR,
    ) -> None:
        super().__init__(output_options(path, layout, on_exists))
        self._options: dict[str, Any] = {
            "table_readings": identifier("table_readings", table_readings),
            "table_blocks": identifier("table_blocks", table_blocks),
            "journal_mode": journal_mode,
            "synchronous": synchronous,
            "busy_timeout_ms": busy_timeout_ms,
        }

    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """A run in the file."""
        from dtopipe.sinks.sqlite.writer import SqliteWriter

        return SqliteWriter(output, **self._options)


class ParquetSink(TabularSink):
    """One Parquet file for programs, of readings or of blocks, readable at any time, whole at the close.

    `compression`: of the columns' pages; `use_dictionary`: dictionaries where they pay; `encoding`: `newer`, or `plain`
    for readers that lack those (then snappy in place of zstd); `row_group_size`: rows in a group, by default
    about a million. `layout`: `wide`, a row a sample, or `long`, a row a sample and channel.
    `on_exists`: `error`, `rename` or `overwrite`. Needs the extra `parquet`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        compression: str = "zstd",
        use_dictionary: bool = True,
        row_group_size: int | None = None,
        encoding: str = "newer",
        layout: str | Layout = Layout.WIDE,
        on_exists: str | OnExists = OnExists.ERROR,
    ) -> None:
        super().__init__(output_options(path, layout, on_exists))
        self._options: dict[str, Any] = {
            "compression": compression,
            "use_dictionary": use_dictionary,
            "encoding": encoding,
            "row_group_size": row_group_size,
        }

    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """A file that grows by row groups. Raises SinkDependencyError without pyarrow."""
        from dtopipe.sinks.parquet.writer import ParquetWriter

        return ParquetWriter(output, **self._options)


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
        from dtopipe.sinks.postgres.writer import PostgresWriter

        options: dict[str, Any] = asdict(self._config)
        return PostgresWriter(output, **options)

    def _check(self) -> None:
        """Also that the server is there. Raises SinkUnavailable, SinkError."""
        from dtopipe.sinks.postgres.connection import PostgresConnection

        super()._check()
        server = PostgresConnection(self._config)
        try:
            server.connect()
        finally:
            server.close()
