"""What a sink of Postgres can be told in a topology."""

from __future__ import annotations

import warnings
from typing import Self

from pydantic import Field, model_validator

from dtopipe.model.errors import SinkOptionError
from dtopipe.model.parts import SinkPart
from dtopipe.sinks.postgres.server import config_of

with warnings.catch_warnings():
    # pydantic has a method of the name `schema`, long out of use.
    warnings.simplefilter("ignore", UserWarning)

    class PostgresOptions(SinkPart):
        """Tables in one schema of a PostgreSQL database; needs the extra `postgres`."""

        dsn: str | None = Field(
            default=None,
            description="postgresql://user:${PGPASSWORD}@host:5432/database; or host and the keys behind it.",
        )
        host: str | None = Field(default=None, description="Of the server, or the folder of its Unix socket.")
        port: int = Field(default=5432, ge=1, le=65535, description="Of the server.")
        user: str | None = Field(default=None, description="Who writes; default: as libpq has it.")
        password: str | None = Field(
            default=None, description="Of the user, such as ${PGPASSWORD}; records never hold it."
        )
        database: str | None = Field(default=None, description="Which one; default: as libpq has it.")
        schema: str | None = Field(  # type: ignore[assignment]
            default=None, description="Holds all tables; default: the topology's name."
        )
        table_readings: str = Field(default="readings", description="Name of the table of readings.")
        table_blocks: str = Field(default="blocks", description="Name of the table of block summaries.")
        pool_min_size: int = Field(
            default=1, ge=1, description="Without effect: a second connection is made when it is needed."
        )
        pool_max_size: int = Field(
            default=4,
            ge=1,
            description="1: one connection only; else a large commit goes through two. More are never made.",
        )
        statement_timeout_ms: int = Field(default=30_000, ge=0, description="The server's limit of one statement.")
        command_timeout_s: float = Field(
            default=10.0, gt=0, description="How long an answer of the server is waited for."
        )
        create_tables: bool = Field(default=True, description="Make schema, tables and columns that are not there.")
        use_copy: bool = Field(default=True, description="Binary COPY; false: INSERT, several times slower.")

        @model_validator(mode="after")
        def _can_be(self) -> Self:
            if self.path is not None:
                raise ValueError("a postgres sink has no path: give it a dsn, or a host")
            try:
                config_of(self.model_dump(), "of the topology")
            except SinkOptionError as error:
                # Of the pydantic error nothing else is shown: what was given may hold a password.
                raise ValueError(f"{error.message}: {error.remedy}") from None
            return self
