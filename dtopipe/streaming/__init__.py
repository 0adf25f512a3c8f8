"""Boards read from programs: a session, and recordings of its blocks and readings."""

from dtopipe.model.task_spec import ErrorPolicy, OverflowPolicy
from dtopipe.streaming.block_recorder import record
from dtopipe.streaming.polled_recorder import record_polled
from dtopipe.streaming.recording import AcquisitionSummary, Recording
from dtopipe.streaming.session import Session, open_device

__all__ = [
    "AcquisitionSummary",
    "ErrorPolicy",
    "OverflowPolicy",
    "Recording",
    "Session",
    "open_device",
    "record",
    "record_polled",
]
