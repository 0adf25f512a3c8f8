"""What is whole of an output whose end a power cut, or somebody, has taken away: how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap
from dtopipe.sinks.contract import OutputRows

OnDamage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Front:
    """The part of an output before its first damaged place, behind which it could be gone on with.

    `stop`: exclusive sample index. `data_bytes`: its length in the file that the commit record tells the length of.
    `extra`: the sink's own state there. `path`: the file, where it is not the output's own. `has_more`: some of its
    samples wait elsewhere, so that it cannot be complete.
    """

    stop: int
    data_bytes: int
    extra: bytes = b""
    path: Path | None = None
    has_more: bool = False


class DamagedBytes:
    """Tells of damaged places of a file by their ranges of bytes, neighbours as one."""

    def __init__(self, on_damage: OnDamage, what: str = "", committed: int | None = None) -> None:
        """`what` stands before each range: the file's name, where the output has several.

        What begins at byte `committed` or behind it was never promised: half a row there is no damage.
        """
        self._on_damage = on_damage
        self._what = f"{what}: " if what else ""
        self._committed = committed
        self._start = self._stop = 0
        # Where the first damaged place begins; None while there is none.
        self.first: int | None = None

    def add(self, start: int, stop: int) -> None:
        """These bytes are damaged."""
        self.first = start if self.first is None else min(self.first, start)
        if self._committed is not None and start >= self._committed:
            return
        if start != self._stop:
            self.end()
            self._start = start
        self._stop = stop

    def end(self) -> None:
        """No neighbour follows on the last place."""
        if self._stop > self._start:
            self._on_damage(f"{self._what}bytes {self._start:,} to {self._stop:,} are damaged")
        self._start = self._stop


def whole_position(recorded: Position | None, rows: Iterable[OutputRows], gaps: Sequence[Gap]) -> Position:
    """How far an output is by its own rows and gaps: up to the first sample that is in neither.

    `recorded`: what its commit record says; without one every hole counts as a gap. In the long layout all channels
    must have a sample.
    """
    covered = _covered(rows)
    if recorded is None:
        start = covered[0][0] if covered else 0
        stop = covered[-1][1] if covered else 0
        samples = sum(end - begin for begin, end in covered)
        return Position(start, stop, start, samples, stop - start - samples)
    at = max(recorded.start, recorded.retained_from)
    known = [*covered, *((gap.span.start, gap.span.stop) for gap in gaps)]
    for begin, end in sorted(known):
        if begin <= at < end:
            at = end
    before = [gap for gap in gaps if gap.span.stop <= at]
    absent = sum(map(len, before))
    return replace(
        recorded,
        committed=at,
        durable=min(recorded.durable, at),
        samples=at - recorded.start - absent,
        gap_samples=absent,
        dropped=sum(len(gap) for gap in before if gap.cause is Cause.POLICY_DROP),
    )


def further(position: Position, rows: Iterable[OutputRows]) -> Position:
    """The position once the rows behind the last commit count as well, as far as they follow on it."""
    at = position.committed
    for begin, end in _covered(rows):
        at = end if begin <= at < end else at
    return replace(position, committed=at, samples=position.samples + at - position.committed)


def _covered(rows: Iterable[OutputRows]) -> list[tuple[int, int]]:
    """[start, stop) of the samples that every channel has, in order."""
    by_channel: dict[int | None, list[tuple[int, int]]] = {}
    for batch in rows:
        index = batch.sample_index
        if not len(index):
            continue
        found = by_channel.setdefault(batch.channel, [])
        breaks = np.flatnonzero(np.diff(index) != 1) + 1
        for part in np.split(index, breaks):
            start, stop = int(part[0]), int(part[-1]) + 1
            if found and found[-1][1] == start:
                found[-1] = found[-1][0], stop
            else:
                found.append((start, stop))
    whole: list[tuple[int, int]] | None = None
    for spans in by_channel.values():
        whole = sorted(spans) if whole is None else _in_both(whole, sorted(spans))
    return whole or []


def _in_both(some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found, first = [], 0
    for start, stop in some:
        while first < len(others) and others[first][1] <= start:
            first += 1
        for begin, end in others[first:]:
            if begin >= stop:
                break
            found.append((max(start, begin), min(stop, end)))
    return found
