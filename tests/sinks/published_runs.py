"""Runs that a sink has published to a real NATS server, without any process."""

from __future__ import annotations

from nats_server import NatsServer
from recordings import blocks, gap

from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.jetstream.writer import JetStreamWriter


def published(server: NatsServer, run_name: str, stream: Stream, n_samples: int, *, is_over: bool) -> None:
    """So many samples, the last 50 of which are absent. Without `is_over` the run has not ended."""
    writer = JetStreamWriter(OutputOptions(None), endpoint=server.endpoint, run_name=run_name)
    writer.open(stream, 0, resume=False)
    writer.append([*blocks(stream, 0, n_samples - 50), gap(stream, n_samples - 50, n_samples)])
    writer.commit()
    if is_over:
        writer.close()
    else:
        writer.abandon()
