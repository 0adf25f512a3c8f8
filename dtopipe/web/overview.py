"""The overview of an output: the lowest and highest value of bins of its samples, fine ones and coarse ones.

One file holds it: a head, a level of bins behind the other, each eight times coarser than the one before, and what is
absent. A bin of a channel is three float64: the lowest value, the highest, and how many rows have none; NaN, NaN, 0
where no row is. What is drawn at any zoom is read from it in a moment, however long the run was.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.facts import parsed
from dtopipe.model.span import Span

MAGIC = b"DTOVIEW1"
# Rows in a bin of the finest level: of 16-bit codes the overview takes a twentieth of what these take.
_ROWS_A_BIN = 256
_FACTOR = 8
# A level that is no finer than a page shows is the last.
_FEW_BINS = 1024
LOW, HIGH, NULLS = 0, 1, 2
_HEAD = struct.Struct("<8sII")
_MOST_HEAD_BYTES = 2**24
_ALIGNED = 64
_BYTES = np.dtype("<f8").itemsize
GAP = np.dtype("<i8")


@dataclass(frozen=True, slots=True)
class Level:
    """Bins `first` to `first + n_bins`; bin `b` has the samples from `b * bin_samples` on. `offset`: in the file."""

    bin_samples: int
    first: int
    n_bins: int
    offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in the file is what. `channels`: how many; `gaps_at`: where the (n_gaps, 3) integers of gaps begin."""

    span: Span
    channels: int
    every: int
    n_gaps: int
    levels: tuple[Level, ...]
    gaps_at: int

    @classmethod
    def of(cls, span: Span, channels: int, every: int, n_gaps: int, head_bytes: int) -> Layout:
        """The levels of an output with these samples; `every`: samples that a row stands for."""
        levels: list[Level] = []
        size, offset = _ROWS_A_BIN * every, -(-head_bytes // _ALIGNED) * _ALIGNED
        while not levels or levels[-1].n_bins > _FEW_BINS:
            first = span.start // size
            levels.append(Level(size, first, max(1, -(-span.stop // size) - first), offset))
            offset += levels[-1].n_bins * channels * 3 * _BYTES
            size *= _FACTOR
        return cls(span, channels, every, n_gaps, tuple(levels), offset)

    @property
    def n_bytes(self) -> int:
        """The size of the whole file."""
        return self.gaps_at + self.n_gaps * 3 * GAP.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What is drawn: column `k` has the samples from `first + k * step` on.

    `low`, `high`: (n_channels, n) float64, NaN where there is no value. `nulls`: (n_channels, n) bool, where a row has
    none. `is_exact`: no finer ones are to be had of the span.
    """

    first: int
    step: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    nulls: NDArray[np.bool_]
    is_exact: bool


def head_of(about: Mapping[str, Any], span: Span, every: int, n_gaps: int, channels: int) -> tuple[bytes, Layout]:
    """The first bytes of the file of such an overview, and where the rest of it goes."""
    document = {"start": span.start, "stop": span.stop, "every": every, "gaps": n_gaps, "channels": channels}
    text = json.dumps({**document, "about": about}).encode()
    return _HEAD.pack(MAGIC, len(text), 0) + text, Layout.of(span, channels, every, n_gaps, _HEAD.size + len(text))


class Overview:
    """A whole file of that form. Raises ValueError for one that is not, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            document, head_bytes = _head(file)
            size = file.seek(0, 2)
        try:
            numbers = [int(document[key]) for key in ("start", "stop", "every", "gaps", "channels")]
            start, stop, every, n_gaps, channels = numbers
            self.about: Mapping[str, Any] = dict(document["about"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} does not say of what it is") from error
        if min(numbers) < 0 or not 0 < every <= 2**40 or not start <= stop <= 2**62 or not channels:
            raise ValueError(f"{path} is of no span")
        self.layout = Layout.of(Span(start, stop), channels, every, n_gaps, head_bytes)
        if size != self.layout.n_bytes:
            raise ValueError(f"{path} is not whole")

    @property
    def finest(self) -> int:
        """Samples in a bin of the finest level."""
        return self.layout.levels[0].bin_samples

    def columns(self, channels: Sequence[int], start: int, stop: int, most: int) -> Columns:
        """About `most` columns of the samples from `start` to `stop`, of the channels of these numbers."""
        width = max(1.0, (stop - start) / most)
        fit = [level for level in self.layout.levels if level.bin_samples <= width]
        level = fit[-1] if fit else self.layout.levels[0]
        group = max(1, int(width // level.bin_samples))
        # Columns begin at whole multiples: what is drawn of a sample does not change while somebody moves.
        step = group * level.bin_samples
        first, last = start // step, -(-stop // step)
        bins = self._bins(level, first * group, max(last, first + 1) * group)[:, list(channels)]
        grouped = bins.reshape(-1, group, len(channels), 3)
        return Columns(
            first=first * step,
            step=step,
            low=np.fmin.reduce(grouped[..., LOW], axis=1).T,
            high=np.fmax.reduce(grouped[..., HIGH], axis=1).T,
            nulls=(grouped[..., NULLS].max(axis=1) > 0).T,
            is_exact=width >= self.finest,
        )

    def gaps(self) -> NDArray[np.int64]:
        """(n, 3): start, stop and the code of the cause of what is absent, in order."""
        return np.fromfile(self.path, GAP, 3 * self.layout.n_gaps, offset=self.layout.gaps_at).reshape(-1, 3)

    def _bins(self, level: Level, start: int, stop: int) -> NDArray[np.float64]:
        """(stop - start, n_channels, 3): those bins; where the output has none, as bins without a row."""
        n_channels = self.layout.channels
        found = nothing(stop - start, n_channels)
        low, high = max(start, level.first), min(stop, level.first + level.n_bins)
        if high > low:
            size = n_channels * 3
            offset = level.offset + (low - level.first) * size * _BYTES
            read = np.fromfile(self.path, "<f8", (high - low) * size, offset=offset)
            found[low - start : high - start] = read.reshape(-1, n_channels, 3)
        return found


def nothing(n_bins: int, n_channels: int) -> NDArray[np.float64]:
    """(n_bins, n_channels, 3): bins without a row."""
    found = np.full((n_bins, n_channels, 3), np.nan)
    found[..., NULLS] = 0
    return found


def _head(file: BinaryIO) -> tuple[dict[str, Any], int]:
    magic, length, _ = _HEAD.unpack(file.read(_HEAD.size).ljust(_HEAD.size, b"\0"))
    if magic != MAGIC or length > _MOST_HEAD_BYTES:
        raise ValueError("this is no overview")
    document = parsed(file.read(length))
    if not isinstance(document, dict):
        raise ValueError("this is no overview")
    return document, _HEAD.size + length
