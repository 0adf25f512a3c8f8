"""Who limits a run: decided by how its processes spend their time, and by who is behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

BOARD, ACQUIRER, PROCESSOR = "board", "acquirer", "processor"
# Of its time an acquirer may wait for slots without anybody being to blame.
_HOLDING_SHARE = 0.05
# A source that could give more leaves its acquirer waiting for it.
_BUSY_SHARE = 0.5
# Of all cores, used by the run's own processes.
_PROCESSOR_SHARE = 0.85
# Another answer has to be true for so long; what comes and goes limits nothing.
_SETTLES_NS = 1_000_000_000


class How(StrEnum):
    """In which way a process limits the run."""

    # The board is away, silent or hung: nothing comes.
    BOARD = "board"
    # The ring is full, and it holds the oldest block.
    HOLDS = "holds"
    # It is behind, and does not catch up.
    LAGS = "lags"
    # Blocks pass it by, as its policy has it.
    DROPS = "drops"
    # The board lost samples, though no sink held its ring.
    OVERRUNS = "overruns"
    # A board that can wait gives no more, and nobody waits for anything else.
    SOURCE = "source"
    # Every core is busy with the run.
    PROCESSOR = "processor"
    # The run is over but for this one.
    DRAINS = "drains"


@dataclass(frozen=True, slots=True)
class BoardLoad:
    """The acquirer. `busy`: shares of its time by call, without waiting for the board; `waits`: that for a slot.

    `trouble`: why nothing comes, empty if something does. `can_wait`: it is read as fast as the ring allows.
    """

    busy: Mapping[str, float] = field(default_factory=dict)
    waits: float = 0.0
    trouble: str = ""
    call: str = ""
    can_wait: bool = False
    overruns: int = 0


@dataclass(frozen=True, slots=True)
class SinkLoad:
    """One sink. `busy`: shares of its time by call, without waiting for blocks; `call`: the one that it is in.

    `patience_s`: a lag of so much is none. `gains`: its lag shrinks. `trouble`: why it does not write at all.
    `holds`: the acquirer waited for it. `drops`: samples that it dropped lately.
    """

    name: str
    busy: Mapping[str, float] = field(default_factory=dict)
    call: str = ""
    is_block: bool = True
    lag_s: float = 0.0
    patience_s: float = 2.0
    gains: bool = False
    holds: bool = False
    drops: int = 0
    trouble: str = ""
    is_over: bool = False

    @property
    def spends_on(self) -> str:
        """The call that most of its time goes into."""
        return self.call if self.trouble or not self.busy else busiest(self.busy)


@dataclass(frozen=True, slots=True)
class Limiter:
    """`process` limits the run, in `call`; `slowest`: where that is the processor, who suffers most from it."""

    process: str
    call: str
    how: How
    trouble: str = ""
    slowest: str = ""


def busiest(busy: Mapping[str, float]) -> str:
    """The call with the largest share; of equals the first by name."""
    return min(busy, key=lambda call: (-busy[call], call), default="")


def limiting(
    board: BoardLoad, sinks: Sequence[SinkLoad], *, processor: float = 0.0, drains: bool = False
) -> Limiter | None:
    """Who limits the run; None if it keeps up. `processor`: share of all cores that the run's processes use."""
    found = _draining(sinks) if drains else _recording(board, sinks)
    if found is None or found.trouble or found.how is How.BOARD or processor < _PROCESSOR_SHARE:
        return found
    return Limiter(PROCESSOR, found.call, How.PROCESSOR, slowest=found.process)


def _recording(board: BoardLoad, sinks: Sequence[SinkLoad]) -> Limiter | None:
    if board.trouble:
        return Limiter(BOARD, board.call, How.BOARD, board.trouble)
    living = [sink for sink in sinks if not sink.is_over]
    if board.waits >= _HOLDING_SHARE and (holders := [sink for sink in living if sink.holds]):
        return _of(_worst(holders), How.HOLDS)
    behind = [sink for sink in living if sink.is_block and (sink.trouble or _lags(sink))]
    if behind:
        return _of(_worst(behind), How.LAGS)
    if board.overruns:
        return Limiter(ACQUIRER, busiest(board.busy), How.OVERRUNS)
    droppers = [sink for sink in living if sink.drops or (sink.trouble and not sink.is_block)]
    if droppers:
        return _of(max(droppers, key=lambda sink: (bool(sink.trouble), sink.drops)), How.DROPS)
    if board.can_wait and sum(board.busy.values()) >= _BUSY_SHARE:
        return Limiter(ACQUIRER, busiest(board.busy), How.SOURCE)
    return None


def _draining(sinks: Sequence[SinkLoad]) -> Limiter | None:
    """The sink that the end waits for longest."""
    left = [sink for sink in sinks if not sink.is_over]
    return _of(_worst(left), How.DRAINS) if left else None


def _lags(sink: SinkLoad) -> bool:
    return sink.lag_s > sink.patience_s and not sink.gains


def _worst(sinks: Sequence[SinkLoad]) -> SinkLoad:
    return max(sinks, key=lambda sink: (sink.lag_s, bool(sink.trouble)))


def _of(sink: SinkLoad, how: How) -> Limiter:
    return Limiter(sink.name, sink.spends_on, how, sink.trouble)


@dataclass(slots=True)
class Share:
    """How long somebody limited the run, altogether, and from when to when; ns."""

    limiter: Limiter
    since_ns: int
    until_ns: int
    for_ns: int = 0


class Limited:
    """The answer that holds by now, and what the answers were: one that comes and goes is not told."""

    def __init__(self) -> None:
        self._now: Limiter | None = None
        self._since_ns = 0
        self._next: Limiter | None = None
        self._next_since_ns: int | None = None
        self._saw_ns: int | None = None
        self._shares: dict[tuple[str, How], Share] = {}

    @property
    def now(self) -> tuple[Limiter, int] | None:
        """Who limits the run, and since when; None if it keeps up."""
        return None if self._now is None else (self._now, self._since_ns)

    @property
    def shares(self) -> list[Share]:
        """Everybody who has limited the run, the last one last."""
        return sorted(self._shares.values(), key=lambda share: share.until_ns)

    def saw(self, limiter: Limiter | None, now_ns: int) -> None:
        """The answer at this moment."""
        elapsed_ns = 0 if self._saw_ns is None else now_ns - self._saw_ns
        self._saw_ns = now_ns
        if _key(limiter) == _key(self._now):
            self._now, self._next_since_ns = limiter, None
        elif self._next_since_ns is None or _key(limiter) != _key(self._next):
            self._next, self._next_since_ns = limiter, now_ns
        elif now_ns - self._next_since_ns >= _SETTLES_NS:
            self._now, self._since_ns, self._next_since_ns = limiter, self._next_since_ns, None
        if self._now is not None:
            key = self._now.process, self._now.how
            share = self._shares.setdefault(key, Share(self._now, self._since_ns, now_ns))
            share.limiter, share.until_ns = self._now, now_ns
            share.for_ns += elapsed_ns


def _key(limiter: Limiter | None) -> tuple[str, How] | None:
    return None if limiter is None else (limiter.process, limiter.how)
