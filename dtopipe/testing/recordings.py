"""Streams and blocks whose every code is known beforehand, for the tests of single sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Channel, Stream

ANCHOR = Anchor(0, 5_000_000_123, 1_763_900_000_000_000_456)
AWKWARD_NAMES = ('"quoted"', "a,b", "new\nline", "日本語", "'; DROP TABLE samples; --", "?1", "%s", " ")


def recorded(
    names: Sequence[str] = ("flux", "tc1"), kind: str = "voltage", dtype: str = "int16", **other: Any
) -> Stream:
    """A stream of 1 kHz with these channels, from -5 to 5 V."""
    channels = tuple(
        Channel(name, "V", kind, scale=10 / 65536, offset=0.25, range=(-5.0, 5.0), physical_channel=number)
        for number, name in enumerate(names)
    )
    told: dict[str, Any] = {"run_id": "run-1", "metadata": {"operator": "Zoë"}, **other}
    return Stream(
        task="heat", device="simulated", channels=channels, dtype=dtype, rate_hz=1000.0, samples_per_block=100,
        started_at="2026-11-23T09:00:00Z", **told,
    )  # fmt: skip


def codes_of(n_channels: int, start: int, stop: int, dtype: str = "int16") -> NDArray[Any]:
    """The counter of the contract: (n_channels, stop - start)."""
    c = np.arange(n_channels, dtype=np.int64)[:, None]
    i = np.arange(start, stop, dtype=np.int64)[None, :]
    return (((i * (2 * c + 1) + 257 * c) % 65536) - 32768).astype(dtype)


def block(stream: Stream, start: int, stop: int, index: int | None = None, status: Any = None) -> Block:
    """One block of the counter."""
    codes = codes_of(len(stream.channels), start, stop, stream.dtype)
    return Block(start // 100 if index is None else index, start, codes, ANCHOR, status)


def blocks(stream: Stream, start: int, stop: int, step: int = 100) -> list[Block]:
    """Blocks of the counter from `start` to `stop`."""
    return [block(stream, at, min(at + step, stop), at // step) for at in range(start, stop, step)]


def gap(stream: Stream, start: int, stop: int, cause: Cause = Cause.BOARD_OVERRUN) -> Gap:
    """A gap whose time is that of the sample clock."""
    return Gap(Span(start, stop), cause, ANCHOR.t_utc_ns + stream.clock.offset_ns(start))


def polled(names: Sequence[str] = ("flux", "tc1"), **other: Any) -> Stream:
    """A stream of readings."""
    return recorded(names, dtype="float64", polled=True, **other)


def reading_value(channel: int, index: int) -> float | None:
    """Every seventh is null."""
    return None if (channel + index) % 7 == 3 else index * 0.1 + channel


def readings(stream: Stream, start: int, stop: int) -> Readings:
    """Readings whose every column is known beforehand, with the nulls that may be."""
    n_channels = len(stream.channels)
    at = range(start, stop)
    t_utc_ns = ANCHOR.t_utc_ns
    return Readings(
        start,
        (
            at,
            [ANCHOR.t_mono_ns + 1_000_003 * i for i in at],
            [t_utc_ns + 1_000_003 * i for i in at],
            [stream.device for _ in at],
            [None if i % 5 == 0 else stream.task for i in at],
            [None if i % 2 else 5_000_000_001 + i for i in at],
            [t_utc_ns + 1_000_003 * i - 1 for i in at],
            [None if i % 3 == 0 else t_utc_ns + i for i in at],
            [1e-3 * i for i in at],
            *([reading_value(c, i) for i in at] for c in range(n_channels)),
            *([None if i % 4 == 0 else "µV" for i in at] for _ in range(n_channels)),
            [None if i % 10 else "builtins.OSError" for i in at],
            [None if i % 10 else 'it said "no",\nand "never"' for i in at],
        ),
    )
