"""Durable destinations: one file a sink.

The names for programs are imported when they are asked for: a worker pays for its own sink only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dtopipe.model.postgres_config import PostgresConfig
    from dtopipe.sinks.csv import CsvSink
    from dtopipe.sinks.daq_rows import block_to_rows, reading_to_row
    from dtopipe.sinks.jsonl import JsonlSink
    from dtopipe.sinks.memory import InMemorySink
    from dtopipe.sinks.parquet_sink import ParquetSink
    from dtopipe.sinks.piping import pipe, pipe_blocks
    from dtopipe.sinks.postgres_sink import PostgresSink
    from dtopipe.sinks.protocols import BlockSink, RawBlockSink, ReadingSink
    from dtopipe.sinks.raw_counts import RawCountsSink
    from dtopipe.sinks.sqlite import SqliteSink

_MODULES = {
    "BlockSink": "protocols",
    "CsvSink": "csv",
    "InMemorySink": "memory",
    "JsonlSink": "jsonl",
    "ParquetSink": "parquet_sink",
    "PostgresConfig": "postgres_sink",
    "PostgresSink": "postgres_sink",
    "RawBlockSink": "protocols",
    "RawCountsSink": "raw_counts",
    "ReadingSink": "protocols",
    "SqliteSink": "sqlite",
    "block_to_rows": "daq_rows",
    "pipe": "piping",
    "pipe_blocks": "piping",
    "reading_to_row": "daq_rows",
}

__all__ = [
    "BlockSink",
    "CsvSink",
    "InMemorySink",
    "JsonlSink",
    "ParquetSink",
    "PostgresConfig",
    "PostgresSink",
    "RawBlockSink",
    "RawCountsSink",
    "ReadingSink",
    "SqliteSink",
    "block_to_rows",
    "pipe",
    "pipe_blocks",
    "reading_to_row",
]


def __getattr__(name: str) -> Any:
    """The name's own module, once."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What programs may use, imported or not."""
    return sorted(__all__)
