"""dtopipe: a data-acquisition pipeline in which every sample is in the file or named in the run record.

The names for programs are imported when they are asked for: a worker pays for its own parts only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dtopipe.model.errors import DtopipeError

if TYPE_CHECKING:
    from dtopipe import sync
    from dtopipe.host.clock import mono_ns
    from dtopipe.loading.load import load
    from dtopipe.loading.run import LoadedRun
    from dtopipe.model.daq import DaqBlock, DaqReading, DaqSample, block_to_long_rows
    from dtopipe.model.errors import RunOver
    from dtopipe.model.marks import Mark
    from dtopipe.model.stream import SensorStatus
    from dtopipe.model.task_spec import (
        AnalogInputVoltage,
        BufferPlan,
        DataFlow,
        ErrorPolicy,
        OverflowPolicy,
        TaskSpec,
        Timing,
        WrapMode,
    )
    from dtopipe.streaming import (
        AcquisitionSummary,
        Recording,
        RunInProgress,
        Subscription,
        mark,
        open_device,
        record,
        record_polled,
        run_in_progress,
        subscribe,
    )
    from dtopipe.verify.tail import CommittedRows, tail

    __version__: str

_MODULES = {
    "AcquisitionSummary": "streaming",
    "AnalogInputVoltage": "model.task_spec",
    "BufferPlan": "model.task_spec",
    "CommittedRows": "verify.tail",
    "DaqBlock": "model.daq",
    "DaqReading": "model.daq",
    "DaqSample": "model.daq",
    "DataFlow": "model.task_spec",
    "ErrorPolicy": "model.task_spec",
    "Mark": "model.marks",
    "OverflowPolicy": "model.task_spec",
    "LoadedRun": "loading.run",
    "Recording": "streaming",
    "RunInProgress": "streaming",
    "RunOver": "model.errors",
    "SensorStatus": "model.stream",
    "Subscription": "streaming",
    "TaskSpec": "model.task_spec",
    "Timing": "model.task_spec",
    "WrapMode": "model.task_spec",
    "block_to_long_rows": "model.daq",
    "load": "loading.load",
    "mark": "streaming",
    "mono_ns": "host.clock",
    "open_device": "streaming",
    "record": "streaming",
    "record_polled": "streaming",
    "run_in_progress": "streaming",
    "subscribe": "streaming",
    "tail": "verify.tail",
}
# Modules that need not be imported by themselves.
_SUBMODULES = ("sync",)

__all__ = [
    "AcquisitionSummary",
    "AnalogInputVoltage",
    "BufferPlan",
    "CommittedRows",
    "DaqBlock",
    "DaqReading",
    "DaqSample",
    "DataFlow",
    "DtopipeError",
    "ErrorPolicy",
    "LoadedRun",
    "Mark",
    "OverflowPolicy",
    "Recording",
    "RunInProgress",
    "RunOver",
    "SensorStatus",
    "Subscription",
    "TaskSpec",
    "Timing",
    "WrapMode",
    "__version__",
    "block_to_long_rows",
    "load",
    "mark",
    "mono_ns",
    "open_device",
    "record",
    "record_polled",
    "run_in_progress",
    "subscribe",
    "sync",
    "tail",
]


def __getattr__(name: str) -> Any:
    """The name's own module, once."""
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What programs may use, imported or not."""
    return sorted(__all__)
