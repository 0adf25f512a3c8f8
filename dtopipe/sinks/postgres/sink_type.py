"""What is known of outputs in a Postgres database."""

from __future__ import annotations

from dtopipe.model.sink_types import OutputSize, RowBytes, Server, SinkType
from dtopipe.sinks.postgres.limits import COLUMNS

POSTGRES = SinkType(
    name="postgres",
    writer="dtopipe.sinks.postgres.writer:PostgresWriter",
    reader="dtopipe.sinks.postgres.reader:PostgresReader",
    makes_views=True,
    options="dtopipe.sinks.postgres.options:PostgresOptions",
    module="asyncpg",
    extra="postgres",
    server=Server(
        completed="dtopipe.sinks.postgres.server:completed",
        target="dtopipe.sinks.postgres.server:target",
        is_own="dtopipe.sinks.postgres.server:is_own",
        cutter="dtopipe.sinks.postgres.server:cutter",
        # As libpq has it.
        password_variable="${PGPASSWORD}",  # noqa: S106
    ),
    columns=COLUMNS,
    size=OutputSize(wide=RowBytes(64, 8), long=RowBytes(0, 130), readings=RowBytes(110, 14)),
    commits_are_durable=True,
    complete_unclosed=True,
    # A table has none.
    keeps_order=False,
    # `timestamptz` has microseconds.
    utc_unit_ns=1000,
    metadata_changer="dtopipe.sinks.postgres.changing:change_metadata",
)
