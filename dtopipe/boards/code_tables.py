"""Codes of many channels at once, fast: what repeats is computed once and looked up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dtopipe.boards.waveform import LONGEST_PERIOD, Codes, Waveform

# 500 channels of the counter; what is larger is computed anew for each block.
_MOST_TABLE_BYTES = 64 * 2**20


class CodeSource(Protocol):
    """Blocks of codes, of at most the length that it was made for."""

    def block(self, first: int, count: int) -> Codes:
        """(n_channels, count) int16, valid until the next call, not to be written to."""


def code_source(waveforms: Sequence[Waveform], longest: int) -> CodeSource:
    """The fastest source of these channels' codes in blocks of up to `longest` samples."""
    known = [waveform.period for waveform in waveforms if waveform.period is not None]
    common = math.lcm(*known)
    if len(known) == len(waveforms) and _fits(len(waveforms), common, longest):
        return _OneTable(waveforms, common, longest)
    return _Rows(waveforms, longest)


def _fits(n_channels: int, period: int, longest: int) -> bool:
    return period <= LONGEST_PERIOD and n_channels * (period + longest) * 2 <= _MOST_TABLE_BYTES


class _OneTable:
    """All channels repeat together: a block is a view, whatever its size."""

    def __init__(self, waveforms: Sequence[Waveform], period: int, longest: int) -> None:
        self._period = period
        self._table = np.stack([waveform.codes(0, period + longest) for waveform in waveforms])
        self._table.setflags(write=False)

    def block(self, first: int, count: int) -> Codes:
        at = first % self._period
        return self._table[:, at : at + count]


class _Rows:
    """Each channel on its own: from its table, or computed."""

    def __init__(self, waveforms: Sequence[Waveform], longest: int) -> None:
        self._buffer = np.empty((len(waveforms), longest), np.int16)
        self._waveforms = waveforms
        self._tables = [
            _OneTable([waveform], waveform.period, longest)
            if waveform.period is not None and _fits(len(waveforms), waveform.period, longest)
            else None
            for waveform in waveforms
        ]

    def block(self, first: int, count: int) -> Codes:
        block = self._buffer[:, :count]
        for row, (waveform, table) in enumerate(zip(self._waveforms, self._tables, strict=True)):
            block[row] = waveform.codes(first, count) if table is None else table.block(first, count)
        return block
