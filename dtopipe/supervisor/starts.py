"""Where a reader that joins a run in progress starts, and its row there."""

from __future__ import annotations

from dtopipe.core.lifecycle import WorkerState
from dtopipe.gateway.source import NotAvailable
from dtopipe.intake.journal import JournalReader
from dtopipe.model.errors import WireError
from dtopipe.model.policy import Policy
from dtopipe.shm.observer import EARLIEST_PART_OF_RING, RingObserver
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.commands import EARLIEST, LATEST

# For a successor, which has its row beside its predecessor's.
_SPARE_ROWS = 1
# Nobody opens these outputs again while the run goes on, however many of them were attached and detached.
_CLOSED = (WorkerState.DONE, WorkerState.CANCELLED)


class Starts:
    """Finds places, for sinks that are attached and for programs that subscribe. `covered`: the journal is read too."""

    def __init__(self, memory: RunMemory, sinks: Sinks) -> None:
        self._memory = memory
        self._sinks = sinks

    def rows_left(self) -> int:
        """How many more readers may join: none takes what the run's own sinks need when they begin, or begin anew."""
        table = self._memory.table
        waiting = [agent for agent in self._sinks.workers if agent.row is None and agent.state not in _CLOSED]
        return 0 if table is None else table.n_free() - _SPARE_ROWS - len(waiting)

    def why_not(self, since: str | int, *, covered: bool) -> tuple[str, str] | None:
        """(message, remedy) where a reader cannot start there."""
        if since in (LATEST, EARLIEST):
            return None
        if isinstance(since, str):
            return f"{since!r} is no place to start from", "write latest, earliest, or a sample index"
        try:
            self._place(since, covered=covered)
        except NotAvailable as error:
            return str(error), "start from latest, or from earliest"
        except (OSError, WireError) as error:
            return f"the journal cannot be read: {error}", "start from latest"
        return None

    def open_row(self, policy: Policy, since: str | int, *, covered: bool) -> tuple[int, int]:
        """(row, sample index) of a new reader. Raises RingError, OSError, WireError, NotAvailable."""
        table = self._memory.table
        if table is None:
            raise NotAvailable("the run has not begun yet")
        if since == LATEST:
            row = table.open_at_head(policy, covered=covered)
            # What was published between the two is passed over by the reader.
            return row, self._memory.end_sample_index
        start, number = self._place(since, covered=covered)
        return table.open_behind(policy, number, covered=covered), start

    def _place(self, since: str | int, *, covered: bool) -> tuple[int, int]:
        """(sample index, number of a block at or before it) to start from. Raises NotAvailable with what there is."""
        oldest, number = self._oldest(covered=covered)
        if since == EARLIEST:
            return oldest, number
        newest = self._memory.end_sample_index
        if isinstance(since, str):
            raise NotAvailable(f"{since!r} is no place to start from")
        if since < oldest:
            raise NotAvailable(f"sample {since} is gone: the oldest that is available is {oldest}")
        if since > newest:
            raise NotAvailable(f"sample {since} is not there yet: the newest is {newest - 1}")
        journal = self._sinks.journal
        if covered and journal is not None and journal.path is not None:
            reader = JournalReader(journal.path)
            try:
                return since, reader.number_before(since)
            finally:
                reader.close()
        return since, number

    def _oldest(self, *, covered: bool) -> tuple[int, int]:
        """(sample index, block number) of the oldest that can be had."""
        ring, table = self._memory.ring, self._memory.table
        if ring is None or table is None:
            return 0, 0
        journal = self._sinks.journal
        if covered and journal is not None:
            # What is settled may be retired at any moment.
            kept = max(journal.position.start, journal.position.retained_from)
            return max(kept, table.settled() if journal.plan.retires else 0), 0
        return RingObserver(ring).oldest_within(EARLIEST_PART_OF_RING)
