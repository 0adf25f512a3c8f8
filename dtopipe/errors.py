"""Every error that dtopipe raises on purpose, and the names that the driver library's programs know them by."""

from dtopipe.model.errors import (
    BoardError,
    BufferOverrun,
    DtopipeError,
    OutputExists,
    OutputLocked,
    RingError,
    RunDied,
    SinkDependencyError,
    SinkError,
    SinkNotOpen,
    SinkOptionError,
    SinkSchemaError,
    SinkUnavailable,
    SpecError,
    TaskStateError,
    TopologyError,
    UsageError,
    WireError,
)

DtolError = DtopipeError
DtolBackendError = BoardError
DtolBufferOverrunError = BufferOverrun
DtolSinkDependencyError = SinkDependencyError
DtolSinkError = SinkError
DtolSinkSchemaError = SinkSchemaError
DtolSinkWriteError = SinkError
DtolTaskStateError = TaskStateError
DtolValidationError = SpecError

__all__ = [
    "BoardError",
    "BufferOverrun",
    "DtolBackendError",
    "DtolBufferOverrunError",
    "DtolError",
    "DtolSinkDependencyError",
    "DtolSinkError",
    "DtolSinkSchemaError",
    "DtolSinkWriteError",
    "DtolTaskStateError",
    "DtolValidationError",
    "DtopipeError",
    "OutputExists",
    "OutputLocked",
    "RingError",
    "RunDied",
    "SinkDependencyError",
    "SinkError",
    "SinkNotOpen",
    "SinkOptionError",
    "SinkSchemaError",
    "SinkUnavailable",
    "SpecError",
    "TaskStateError",
    "TopologyError",
    "UsageError",
    "WireError",
]
