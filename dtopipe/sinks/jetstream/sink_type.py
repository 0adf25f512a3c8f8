"""What is known of runs in a stream of a NATS server."""

from __future__ import annotations

from dtopipe.model.sink_types import OutputSize, RowBytes, Server, SinkType

_ROW = RowBytes(0, 2)

JETSTREAM = SinkType(
    name="jetstream",
    writer="dtopipe.sinks.jetstream.writer:JetStreamWriter",
    reader="dtopipe.sinks.jetstream.reader:JetStreamReader",
    options="dtopipe.sinks.jetstream.options:JetStreamOptions",
    module="nats",
    extra="nats",
    server=Server(
        completed="dtopipe.sinks.jetstream.server:completed",
        target="dtopipe.sinks.jetstream.server:target",
        is_own="dtopipe.sinks.jetstream.server:is_own",
        password_variable="${NATS_PASSWORD}",  # noqa: S106
        place_key="run_name",
        is_looked_for=False,
        promise=(
            "a server acknowledges before it syncs: a power cut of all that keep a message may take what they "
            "acknowledged in the last sync_interval (2min, unless it is always)"
        ),
    ),
    takes_codes=True,
    has_layouts=False,
    takes_readings=False,
    # The headers of a message, of which each small block may have its own.
    size=OutputSize(wide=_ROW, long=_ROW, block=500, holds_codes=True),
    complete_unclosed=False,
)
