"""Blocks, readings and samples, under the module name that the driver library gives them."""

from dtopipe.model.daq import DaqBlock, DaqReading, DaqSample, block_to_long_rows
from dtopipe.model.stream import SensorStatus
from dtopipe.model.task_spec import DataFlow, WrapMode

__all__ = [
    "DaqBlock",
    "DaqReading",
    "DaqSample",
    "DataFlow",
    "SensorStatus",
    "WrapMode",
    "block_to_long_rows",
]
