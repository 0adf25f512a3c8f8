"""Boards and runs read from programs: sessions and recordings of a board, subscriptions to a run in progress."""

from dtopipe.model.task_spec import ErrorPolicy, OverflowPolicy
from dtopipe.streaming.block_recorder import record
from dtopipe.streaming.polled_recorder import record_polled
from dtopipe.streaming.recording import AcquisitionSummary, Recording
from dtopipe.streaming.run_in_progress import RunInProgress, mark, run_in_progress
from dtopipe.streaming.session import Session, open_device
from dtopipe.streaming.subscribe import subscribe
from dtopipe.streaming.subscription import Subscription

__all__ = [
    "AcquisitionSummary",
    "ErrorPolicy",
    "OverflowPolicy",
    "Recording",
    "RunInProgress",
    "Session",
    "Subscription",
    "mark",
    "open_device",
    "record",
    "record_polled",
    "run_in_progress",
    "subscribe",
]
