"""When a disk will be full, and when a run has to end because of it: free space against the rate at which it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from dtopipe.model.sink_types import ClosingCost

# Ten minutes are enough to delete or move something; one is enough to end the run by hand.
_WARN_BELOW_S = (600.0, 60.0)
# A warning is given once; again only after there was room for twice as long.
_RELIEVED = 2.0
_WINDOW_NS, _SHORT_WINDOW_NS = 30_000_000_000, 2_000_000_000
# Before that a rate says more about the first file headers than about the data.
_RATE_AFTER_NS = 3_000_000_000
# From a measurement to the board's stop: two looks, a turn, and what the acquirer and the sinks have under way.
_REACTION_S = 1.0
# What free space may fall by at once, beyond twice what was foreseen, before it counts as somebody's large file.
_SUDDEN_BYTES = 2**20

# run.json, as a draft beside the old one, events, gaps, logs.
RECORDS_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class OutputNeed:
    """What one output still has to take: samples per channel to come, and bytes that wait beside it for its close."""

    closing: ClosingCost
    samples_to_come: float
    bytes_per_sample: float
    waiting_bytes: int = 0


def closing_bytes(need: OutputNeed) -> int:
    """Bytes that this output takes from now to an orderly close, if nothing more is acquired."""
    again = need.closing.of_waiting
    to_come = need.samples_to_come * need.bytes_per_sample
    return round(to_come * (1 + again) + need.waiting_bytes * again) + need.closing.in_any_case


def reserve_bytes(needs: Iterable[OutputNeed]) -> int:
    """Bytes that an orderly end of the run takes on a disk: of its outputs there, and of the records."""
    return RECORDS_BYTES + sum(map(closing_bytes, needs))


@dataclass(frozen=True, slots=True)
class DiskSeen:
    """One measurement. `own_bytes`: of the run's outputs there; `reserve_bytes`: what their orderly end takes."""

    t_ns: int
    free_bytes: int
    own_bytes: int
    reserve_bytes: int


@dataclass(frozen=True, slots=True)
class DiskOutlook:
    """What is to be expected. `full_in_s`: None while nothing is written.

    `is_low`: it will be full soon; `is_news`: that is to be said now; `ends_run`: only an end of the run fits in now.
    """

    free_bytes: int
    reserve_bytes: int
    rate_bytes_per_s: float
    full_in_s: float | None
    is_low: bool
    is_news: bool
    ends_run: bool

    @property
    def text(self) -> str:
        """Such as `full in about 12 min at 3.1 MB/s`; empty while nothing is written."""
        if self.full_in_s is None:
            return ""
        return f"full in about {duration_text(self.full_in_s)} at {bytes_text(self.rate_bytes_per_s)}/s"


class DiskWatch:
    """Judges one file system by its measurements, which come in order.

    `patience_s`: how long a disk that somebody else filled at once may stay so before the run ends. What comes at once
    often goes at once, and meanwhile the ring holds what is acquired.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_ns = round(patience_s * 1e9)
        self._seen: deque[DiskSeen] = deque()
        self._told = [False] * len(_WARN_BELOW_S)
        self._short_since_ns: int | None = None

    def saw(self, seen: DiskSeen, run_ends_in_s: float | None = None) -> DiskOutlook:
        """The outlook; a run that ends by itself in `run_ends_in_s` needs no warning of what would come later."""
        before = self._seen[-1] if self._seen else None
        self._seen.append(seen)
        while len(self._seen) > 2 and seen.t_ns - self._seen[0].t_ns > _WINDOW_NS:
            self._seen.popleft()
        rate = _rate(self._seen, _WINDOW_NS)
        is_sure = seen.t_ns - self._seen[0].t_ns >= _RATE_AFTER_NS
        full_in_s = seen.free_bytes / rate if rate > 0 and is_sure else None
        is_low = full_in_s is not None and full_in_s < _WARN_BELOW_S[0]
        if is_low and run_ends_in_s is not None and full_in_s is not None:
            is_low = full_in_s < run_ends_in_s
        return DiskOutlook(
            free_bytes=seen.free_bytes,
            reserve_bytes=seen.reserve_bytes,
            rate_bytes_per_s=rate,
            full_in_s=full_in_s,
            is_low=is_low,
            is_news=self._is_news(full_in_s) and is_low,
            ends_run=self._ends_run(seen, before),
        )

    def _is_news(self, full_in_s: float | None) -> bool:
        """True if a limit is passed that was not told of."""
        found = False
        for number, limit_s in enumerate(_WARN_BELOW_S):
            if full_in_s is None or full_in_s > _RELIEVED * limit_s:
                self._told[number] = False
            elif full_in_s < limit_s and not self._told[number]:
                self._told[number] = found = True
        return found

    def _ends_run(self, seen: DiskSeen, before: DiskSeen | None) -> bool:
        rate = max(_rate(self._seen, _WINDOW_NS), _rate(self._seen, _SHORT_WINDOW_NS))
        if seen.free_bytes > seen.reserve_bytes + rate * _REACTION_S:
            self._short_since_ns = None
            return False
        if self._short_since_ns is None:
            # What goes on as foreseen crosses the line: every moment costs reserve.
            fell_by = 0 if before is None else before.free_bytes - seen.free_bytes
            foreseen = 0.0 if before is None else rate * (seen.t_ns - before.t_ns) / 1e9
            is_sudden = before is None or fell_by > 2 * foreseen + _SUDDEN_BYTES
            self._short_since_ns = seen.t_ns if is_sudden else seen.t_ns - self._patience_ns
        return seen.t_ns - self._short_since_ns >= self._patience_ns


def _rate(seen: Sequence[DiskSeen], window_ns: int) -> float:
    """Bytes a second in the newest measurements: what our own files grow by, and what others take.

    Ours come in bursts, such as a row group, and are meant over the window. Of what others take it is the median: one
    large file that somebody copies is no rate.
    """
    last = seen[-1]
    recent = [one for one in seen if last.t_ns - one.t_ns <= window_ns]
    elapsed_ns = last.t_ns - recent[0].t_ns
    if elapsed_ns <= 0:
        return 0.0
    own = (last.own_bytes - recent[0].own_bytes) * 1e9 / elapsed_ns
    others = median(
        (old.free_bytes - new.free_bytes - (new.own_bytes - old.own_bytes)) * 1e9 / (new.t_ns - old.t_ns)
        for old, new in pairwise(recent)
    )
    return max(0.0, own) + max(0.0, others)


def duration_text(seconds: float) -> str:
    """Such as `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def bytes_text(n_bytes: float) -> str:
    """Such as `3.1 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.0f} bytes"
