"""What an output lacks, counted in memory that does not grow with the number of its gaps."""

from __future__ import annotations

from dtopipe.core.absence import MOST_KEPT, Absence
from dtopipe.model.span import Cause, Gap, Span


def _gaps(number: int, cause: Cause, at: int = 0) -> list[Gap]:
    return [Gap(Span(at + 10 * n, at + 10 * n + 3), cause, n) for n in range(number)]


def test_samples_are_counted_by_cause_however_many_gaps_there_are() -> None:
    absence = Absence()
    absence.note(_gaps(100_000, Cause.POLICY_DROP))
    absence.note(_gaps(7, Cause.BOARD_OVERRUN, at=10**6))
    assert absence.samples(Cause.POLICY_DROP) == 300_000
    assert absence.samples(Cause.BOARD_OVERRUN) == 21
    assert absence.samples(Cause.STALLED) == 0


def test_only_so_many_gaps_are_kept_and_of_each_cause_at_least_one() -> None:
    absence = Absence()
    absence.note(_gaps(100_000, Cause.POLICY_DROP))
    late = _gaps(5, Cause.TRANSPORT, at=10**6)
    absence.note(late)
    assert len(absence.kept) == MOST_KEPT + 1
    assert absence.kept[-1] == late[0]
