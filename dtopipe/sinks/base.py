"""The earlier name of `dtopipe.sinks.contract`, for sinks that were written before it had that one."""

from dtopipe.sinks.contract import (
    FileOutput,
    OutputOptions,
    OutputReader,
    OutputRows,
    Position,
    RemarkingWriter,
    RetiringWriter,
    SinkWriter,
    may_retry,
    remark_of,
)

__all__ = [
    "FileOutput",
    "OutputOptions",
    "OutputReader",
    "OutputRows",
    "Position",
    "RemarkingWriter",
    "RetiringWriter",
    "SinkWriter",
    "may_retry",
    "remark_of",
]
