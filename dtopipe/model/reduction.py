"""A view of a stream: a row for so many samples, made of these in one way.

Windows begin at multiples of `every`, counted from sample 0 of the run. What a gap or the end of the run cuts short is
a row of its own, which stands for the samples that are there; its index is that of the first of them. A row is the same
to the last bit however its samples came in blocks: what is to be added up is added up in pieces of the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Channel, SensorStatus, Stream, joined_status

Reduce = Literal["mean", "minmax", "first"]
REDUCTIONS: tuple[str, ...] = get_args(Reduce)
# Samples that are added up at once: of a longer window one piece behind the other, so that little is held.
_PIECE = 4096
# The kind of a channel whose values are made of many samples'.
REDUCED = "reduced"


def recorded_reduction(word: object) -> str:
    """The word of a record for how rows were made; nothing stands for the mean. Raises ValueError."""
    if word is None:
        return "mean"
    if word not in REDUCTIONS:
        raise ValueError(f"there is no way {word!r} to reduce samples")
    return str(word)


def reduced_names(name: str, reduce: str) -> tuple[str, ...]:
    """The names of the columns that a view has for a channel of this name."""
    return (f"{name}_min", f"{name}_max") if reduce == "minmax" else (name,)


def reduced_stream(stream: Stream, every: int, reduce: str) -> Stream:
    """The stream of a view of an output with this stream. `every` of 1 is the stream as it is."""
    if every == 1:
        return stream
    if reduce == "first":
        return replace(stream, every=every, reduce=reduce)
    channels = tuple(
        _as_values(channel, name) for channel in stream.channels for name in reduced_names(channel.name, reduce)
    )
    return replace(stream, channels=channels, dtype="float64", every=every, reduce=reduce)


def _as_values(channel: Channel, name: str) -> Channel:
    calibration = None if channel.calibration is None else channel.calibration.applied()
    return replace(channel, name=name, kind=REDUCED, scale=1.0, offset=0.0, calibration=calibration)


@dataclass(slots=True)
class _Row:
    """What is known of the row that is being made: of its first sample, and of all so far, (n_channels,) each."""

    first: Block
    stop: int
    count: NDArray[np.int64]
    total: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def add(self, other: _Row) -> None:
        """What follows on it."""
        self.stop = other.stop
        self.count += other.count
        self.total += other.total
        self.low = np.fmin(self.low, other.low)
        self.high = np.fmax(self.high, other.high)


class Reduction:
    """Makes the rows of a view, of the blocks and gaps of an output with `stream` that come in order."""

    # A row depends on nothing that is before its window.
    lookback = 0

    def __init__(self, stream: Stream, every: int, reduce: str) -> None:
        self.stream = reduced_stream(stream, every, reduce)
        self._every = every
        self._reduce = reduce
        self._unit = min(every, _PIECE)
        self._values = EngineeringValues(stream.channels)
        # Samples behind the last whole piece, in order, without a hole.
        self._held: list[Block] = []
        self._row: _Row | None = None

    @property
    def held_from(self) -> int | None:
        """The first sample that is not in a row yet; None where there is none."""
        if self._row is not None:
            return self._row.first.first_sample_index
        return self._held[0].first_sample_index if self._held else None

    def of(self, items: Sequence[Block | Gap]) -> list[Block | Gap]:
        """The rows that are complete with these items, and their gaps, in order."""
        found: list[Block | Gap] = []
        for item in items:
            if isinstance(item, Gap):
                found += [*self.rest(), item]
            elif item.n_samples:
                last = self._held[-1] if self._held else self._row.first if self._row is not None else None
                if last is not None and item.anchor != last.anchor:
                    found += self.rest()
                found += self._taken(item)
        return found

    def rest(self) -> list[Block | Gap]:
        """A row for what is held; afterwards nothing is."""
        if self._held:
            piece = _together(self._held)
            self._held = []
            self._add(self._pieces(piece, [0])[0])
        if self._row is None:
            return []
        row, self._row = self._row, None
        return [self._block(row)]

    def _taken(self, block: Block) -> Iterator[Block | Gap]:
        start, stop = (self._held[0] if self._held else block).first_sample_index, block.span.stop
        cuts = self._cuts(start, stop)
        if len(cuts) < 2:
            self._held.append(_kept(block))
            return
        whole = _together([*self._held, block])
        rest = whole.trimmed(int(cuts[-1]))
        self._held = [_kept(rest)] if rest.n_samples else []
        pieces = whole.trimmed(start, int(cuts[-1]))
        starts = cuts[:-1] - start
        if self._every == self._unit:
            yield from self._windows(pieces, starts)
            return
        for number, piece in enumerate(self._pieces(pieces, starts.tolist())):
            self._add(piece)
            if int(cuts[number + 1]) % self._every == 0 and self._row is not None:
                row, self._row = self._row, None
                yield self._block(row)

    def _cuts(self, start: int, stop: int) -> NDArray[np.int64]:
        """Where pieces begin and end, from `start` on; the last is the end of the last whole one."""
        every, unit = self._every, self._unit
        if every == unit:
            inner = np.arange((start // every + 1) * every, stop + 1, every, dtype=np.int64)
            return np.concatenate(([start], inner))
        found = [start]
        while True:
            window = found[-1] // every * every
            cut = min(window + ((found[-1] - window) // unit + 1) * unit, window + every)
            if cut > stop:
                return np.array(found, np.int64)
            found.append(cut)

    def _windows(self, block: Block, starts: NDArray[np.int64]) -> Iterator[Block]:
        """A row for each of these pieces: the first may begin within its window, and then stands by itself."""
        if block.first_sample_index % self._every and len(starts) > 1:
            behind = block.first_sample_index + int(starts[1])
            yield self._rows(block.trimmed(block.first_sample_index, behind), starts[:1])
            block, starts = block.trimmed(behind), starts[1:] - starts[1]
        yield self._rows(block, starts)

    def _rows(self, block: Block, starts: NDArray[np.int64]) -> Block:
        if self._reduce == "first":
            status = None if block.sensor_status is None else block.sensor_status[:, starts]
            return self._as_block(block, block.codes[:, starts], status, block.n_samples)
        count, total, low, high = self._sums(block, starts)
        status = np.where(count > 0, np.int8(SensorStatus.OK), _first_status(block, starts))
        return self._as_block(block, *self._made(count, total, low, high, status), block.n_samples)

    def _pieces(self, block: Block, starts: Sequence[int]) -> list[_Row]:
        count, total, low, high = self._sums(block, np.array(starts))
        stops = [*(block.first_sample_index + start for start in starts[1:]), block.span.stop]
        return [
            _Row(
                _kept(block.trimmed(block.first_sample_index + start, block.first_sample_index + start + 1)),
                stop, count[:, at], total[:, at], low[:, at], high[:, at],
            )
            for at, (start, stop) in enumerate(zip(starts, stops, strict=True))
        ]  # fmt: skip

    def _add(self, piece: _Row) -> None:
        if self._row is None:
            self._row = piece
        else:
            self._row.add(piece)

    def _block(self, row: _Row) -> Block:
        length = row.stop - row.first.first_sample_index
        if self._reduce == "first":
            return self._as_block(row.first, row.first.codes, row.first.sensor_status, length)
        count, total = row.count[:, None], row.total[:, None]
        low, high = row.low[:, None], row.high[:, None]
        status = np.where(count > 0, np.int8(SensorStatus.OK), _first_status(row.first, np.array([0])))
        return self._as_block(row.first, *self._made(count, total, low, high, status), length)

    def _sums(self, block: Block, starts: NDArray[np.int64]) -> tuple[Any, Any, Any, Any]:
        """How many values, their sum, lowest and highest of each piece, NaN of none: (n_channels, n) each."""
        values = self._values(block.codes, block.sensor_status)
        there = ~np.isnan(values)
        count = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
        with np.errstate(invalid="ignore", over="ignore"):
            total = np.add.reduceat(values if there.all() else np.where(there, values, 0.0), starts, axis=1)
        return count, total, np.fmin.reduceat(values, starts, axis=1), np.fmax.reduceat(values, starts, axis=1)

    def _made(
        self,
        count: NDArray[np.int64],
        total: NDArray[np.float64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        status: NDArray[np.int8],
    ) -> tuple[NDArray[np.float64], NDArray[np.int8] | None]:
        """The columns of these rows, and their status; None where all are OK."""
        if self._reduce == "minmax":
            values = np.empty((2 * len(low), low.shape[1]))
            values[0::2], values[1::2] = low, high
            status = np.repeat(status, 2, axis=0)
        else:
            values = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return values, status if status.any() else None

    def _as_block(self, block: Block, codes: NDArray[Any], status: NDArray[np.int8] | None, covers: int) -> Block:
        if status is not None and not status.any():
            status = None
        return replace(
            block,
            codes=np.ascontiguousarray(codes),
            sensor_status=status,
            made_of=None,
            step=self._every,
            covers=covers,
        )


def _first_status(block: Block, starts: NDArray[np.int64]) -> NDArray[np.int8]:
    """Why there is no value, where there is none: what is wrong with the first sample."""
    if block.sensor_status is None:
        # NaN of a board that says no more.
        return np.full((len(block.codes), len(starts)), SensorStatus.ABSENT, np.int8)
    status = block.sensor_status[:, starts]
    return np.where(status == SensorStatus.OK, np.int8(SensorStatus.ABSENT), status)


def _kept(block: Block) -> Block:
    """The block, whose arrays stay as they are."""
    status = None if block.sensor_status is None else block.sensor_status.copy()
    return replace(block, codes=block.codes.copy(), sensor_status=status, made_of=None)


def _together(blocks: Sequence[Block]) -> Block:
    """One block of blocks that follow on each other."""
    first = blocks[0]
    if len(blocks) == 1:
        return replace(first, made_of=None)
    codes = np.concatenate([block.codes for block in blocks], axis=1)
    return replace(first, codes=codes, sensor_status=joined_status(blocks), made_of=None)
