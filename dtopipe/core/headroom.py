"""How long a journal can still keep what others lack."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Headroom:
    """`left_s`: how long things may go on as badly as they can; `of_s`: how long they might, if all were well now."""

    left_s: float
    of_s: float


def journal_headroom(room_s: float | None, behind_s: float, forgotten_in_s: float | None) -> Headroom | None:
    """How long every reader of the journal may stop from now on before the journal fails it; None if nobody knows.

    A covered sink that stops loses nothing while the journal can grow: for `room_s`, as long as its disk has room
    beyond what an orderly end takes; then the run ends in order. Another machine that is away is waited for no longer
    after `forgotten_in_s`, where the journal deletes what nobody waits for; None where no machine is away. `behind_s`:
    of the run the journal keeps so much for whoever is furthest behind by now.
    """
    known = [seconds for seconds in (room_s, forgotten_in_s) if seconds is not None]
    if not known:
        return None
    left_s = max(0.0, min(known))
    return Headroom(left_s, left_s + max(0.0, behind_s))
