"""The metadata of a run in progress, changed afterwards; every former value stays on record."""

from __future__ import annotations

from dtopipe.core.metadata_changes import changed_metadata
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import UsageError
from dtopipe.supervisor.marking import who
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.wire.commands import ChangeMetadata, MetadataChanged, Refused


class Metadata:
    """Changes are in `run.json` before anybody is told."""

    def __init__(self, progress: Progress, record: RunRecord, events: Events) -> None:
        self._progress = progress
        self._record = record
        self._events = events

    def change(self, asked: ChangeMetadata) -> MetadataChanged | Refused:
        """Give the run these values, or refuse with the reason; then nothing has changed."""
        if self._progress.phase is Phase.FINISHED:
            return Refused("the run is over", "ask again in a moment: its record is being completed")
        before = self._record.metadata
        at = iso_utc(self._progress.times.utc_ns())
        try:
            after = changed_metadata(before, asked.values, at, who(asked.user, asked.host))
        except UsageError as error:
            return Refused(error.message, error.remedy)
        if after is not before:
            self._record.metadata = after
            if not self._record.save():
                self._record.metadata = before
                return Refused("the disk of the run folder has no room for it", "free some space, and try again")
            told = after.changes[len(before.changes) :]
            self._events.append("metadata_changed", keys=[each["key"] for each in told], by=told[-1]["by"])
        return MetadataChanged(after.values, after.changes)
