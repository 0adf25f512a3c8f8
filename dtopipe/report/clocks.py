"""The clock pairs of a run, from its folder: how fast the board's clock was over time, and how it strayed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import utc_ns
from dtopipe.model.facts import Facts, parsed

_LONGEST_LINE = 2**16
# As many as a picture has room for; of more every second one is kept, then every fourth, ...
_MOST_PAIRS = 1800


@dataclass(frozen=True, slots=True, eq=False)
class ClockPairs:
    """`sample_index`, `t_mono_ns`, `t_utc_ns`: (n,) int64, both clocks rising; of a long run not every pair."""

    sample_index: NDArray[np.int64]
    t_mono_ns: NDArray[np.int64]
    t_utc_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sample_index)

    @property
    def rates_hz(self) -> NDArray[np.float64]:
        """Samples per second between each pair and the next: (n - 1,) float64."""
        return np.diff(self.sample_index) / np.diff(self.t_mono_ns) * 1e9

    def strayed_ms(self, rate_hz: float) -> NDArray[np.float64]:
        """How much later each sample came than a clock of that rate would have it, since the first pair: (n,) ms."""
        since_ns = self.t_mono_ns - self.t_mono_ns[0]
        return np.asarray(since_ns / 1e6 - (self.sample_index - self.sample_index[0]) / rate_hz * 1e3)


def clock_pairs(folder: Path) -> ClockPairs:
    """The pairs in `clock.jsonl`, empty where that is not there; what is torn or damaged is passed over."""
    kept: list[tuple[int, int, int]] = []
    stride, seen = 1, 0
    with contextlib.suppress(OSError), (folder / "clock.jsonl").open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            pair = _pair_from(line)
            if pair is None or (kept and (pair[0] <= kept[-1][0] or pair[1] <= kept[-1][1])):
                continue
            seen += 1
            if (seen - 1) % stride:
                continue
            kept.append(pair)
            if len(kept) > _MOST_PAIRS:
                kept, stride = kept[::2], 2 * stride
    columns = np.array(kept, np.int64).reshape(-1, 3).T
    return ClockPairs(*columns)


def _pair_from(line: bytes) -> tuple[int, int, int] | None:
    with contextlib.suppress(ValueError):
        facts = Facts(parsed(line))
        return facts.count("sample_index"), facts.count("t_mono_ns"), utc_ns(facts.time("t_utc"))
    return None
