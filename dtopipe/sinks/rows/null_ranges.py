"""Finds the ranges of null values in what is written, and keeps their list short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.nulls import NullRange
from dtopipe.model.span import Span
from dtopipe.model.stream import Block, SensorStatus

# Of an output: 320 KB in its commit record. Beyond, what a channel has later joins its last range.
MOST_RANGES = 10_000
# A sensor that flickers from sample to sample is told of once a block.
_MOST_OF_A_BLOCK = 100


def null_ranges(items: Sequence[Any]) -> Iterator[NullRange]:
    """Those of the blocks among `items`, block by block, in order within each channel."""
    for item in items:
        if isinstance(item, Block) and item.sensor_status is not None:
            if item.covers is None:
                yield from ranges_of(item.sensor_status, item.first_sample_index)
            else:
                yield from _of_rows(item)


def _of_rows(block: Block) -> Iterator[NullRange]:
    """Those of a view: each row that is null stands for all of its samples."""
    stop = block.span.stop
    for each in ranges_of(block.sensor_status, 0) if block.sensor_status is not None else ():
        first, behind = (block.first_sample_index + row * block.step for row in (each.span.start, each.span.stop))
        yield replace(each, span=Span(first, min(behind, stop)))


def ranges_of(sensor_status: NDArray[np.int8], first: int) -> Iterator[NullRange]:
    """Those of one block, whose first sample index that is; `sensor_status`: (n_channels, n_samples)."""
    if sensor_status.any():
        for channel in np.flatnonzero(sensor_status.any(axis=1)).tolist():
            yield from _of_channel(sensor_status[channel], channel, first)


def merged(ranges: Sequence[NullRange]) -> list[NullRange]:
    """The same, those that follow on each other as one; in order of channel and start."""
    found: list[NullRange] = []
    for each in sorted(ranges, key=lambda each: (each.channel, each.span)):
        if found and found[-1].channel == each.channel and each.follows(found[-1]):
            found[-1] = found[-1].joined(each)
        else:
            found.append(each)
    return found


def _of_channel(status: NDArray[np.int8], channel: int, first: int) -> Iterator[NullRange]:
    cuts = np.flatnonzero(np.diff(status)) + 1
    if len(cuts) > _MOST_OF_A_BLOCK:
        (at,) = np.nonzero(status)
        kinds = np.unique(status[at])
        kind = SensorStatus(int(kinds[0])) if len(kinds) == 1 else SensorStatus.OK
        yield NullRange(channel, Span(first + int(at[0]), first + int(at[-1]) + 1), len(at), kind)
        return
    for start, stop in pairwise([0, *cuts.tolist(), len(status)]):
        if status[start]:
            span = Span(first + start, first + stop)
            yield NullRange(channel, span, len(span), SensorStatus(int(status[start])))


class NullList:
    """The ranges of one output in the order in which they began; those at the end of a channel grow.

    What is added counts once it is settled, with the commit that it belongs to.
    """

    def __init__(self, known: Sequence[NullRange] = ()) -> None:
        self._ranges = list(known)
        self._last = {each.channel: number for number, each in enumerate(self._ranges)}
        # By number in the list: what was added or has grown since the last commit.
        self.changes: dict[int, NullRange] = {}
        self._count = len(self._ranges)

    def add(self, items: Sequence[Any]) -> None:
        """It takes the blocks among `items`."""
        for each in null_ranges(items):
            number = self._last.get(each.channel)
            before = None if number is None else self.changes.get(number) or self._ranges[number]
            if number is not None and before is not None and (each.follows(before) or self._count >= MOST_RANGES):
                self.changes[number] = before.joined(each)
            else:
                self._last[each.channel] = self._count
                self.changes[self._count] = each
                self._count += 1

    def settle(self) -> None:
        """What was added is committed."""
        for number, each in sorted(self.changes.items()):
            self._ranges[number : number + 1] = [each]
        self.changes = {}

    def all(self) -> list[NullRange]:
        """The ranges, with those that are not committed yet."""
        return [self.changes.get(number, each) for number, each in enumerate(self._ranges)] + [
            each for number, each in sorted(self.changes.items()) if number >= len(self._ranges)
        ]
