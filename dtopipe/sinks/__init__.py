"""Durable destinations: one file a sink.

The names for programs are imported when they are asked for: a worker pays for its own sink only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dtopipe.sinks.postgres.config import PostgresConfig
    from dtopipe.sinks.programs.daq_rows import block_to_rows, reading_to_row
    from dtopipe.sinks.programs.memory import InMemorySink
    from dtopipe.sinks.programs.piping import pipe, pipe_blocks
    from dtopipe.sinks.programs.protocols import BlockSink, RawBlockSink, ReadingSink
    from dtopipe.sinks.programs.raw_counts import RawCountsSink
    from dtopipe.sinks.programs.sinks import CsvSink, JsonlSink, ParquetSink, PostgresSink, SqliteSink

_MODULES = {
    "BlockSink": "programs.protocols",
    "CsvSink": "programs.sinks",
    "InMemorySink": "programs.memory",
    "JsonlSink": "programs.sinks",
    "ParquetSink": "programs.sinks",
    "PostgresConfig": "programs.sinks",
    "PostgresSink": "programs.sinks",
    "RawBlockSink": "programs.protocols",
    "RawCountsSink": "programs.raw_counts",
    "ReadingSink": "programs.protocols",
    "SqliteSink": "programs.sinks",
    "block_to_rows": "programs.daq_rows",
    "pipe": "programs.piping",
    "pipe_blocks": "programs.piping",
    "reading_to_row": "programs.daq_rows",
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
