"""Codes of many channels at once, fast: what repeats is computed once and looked up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dtopipe.boards.waveform import LONGEST_PERIOD, Codes, Waveform


class CodeSource(Protocol):
    """Blocks of codes, of at most the length that it was made for."""

    def block(self, first: int, count: int) -> Codes:
        """(n_channels, count) int16, valid until the next call, not to be written to."""


def code_source(waveforms: Sequence[Waveform], longest: int) -> CodeSource:
    """The fastest source of these channels' codes in blocks of up to `longest` samples."""
    periods = [waveform.period for waveform in waveforms]
    known = [period for period in periods if period is not None]
    common = math.lcm(*known)
    if len(known) == len(periods) and common <= LONGEST_PERIOD:
        return _OneTable(waveforms, common, longest)
    return _Rows(waveforms, longest)


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
            None if waveform.period is None else _OneTable([waveform], waveform.period, longest)
            for waveform in waveforms
        ]

    def block(self, first: int, count: int) -> Codes:
        block = self._buffer[:, :count]
        for row, (waveform, table) in enumerate(zip(self._waveforms, self._tables, strict=True)):
            block[row] = waveform.codes(first, count) if table is None else table.block(first, count)
        return block
