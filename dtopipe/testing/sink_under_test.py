"""One kind of output at one place, and what its format cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dtopipe.model.errors import OutputLocked
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions, OutputReader, SinkWriter
from dtopipe.testing.recordings import ANCHOR, AWKWARD_NAMES, codes_of

# How often an output is tried whose writer was killed: a server needs a moment to see that.
_TRIES = 200_000


class Appends(Enum):
    """What `on_exists: append` does with the output of another run."""

    NEVER = "it is refused"
    BEHIND = "the rows of the second run follow those of the first"
    BESIDE = "each run can be read by itself"


@dataclass(frozen=True)
class SinkUnderTest:
    """A writer's class, its reader's, and where they are tried.

    `path` is None for a sink that writes no file, which errors name `target`. `dtypes`: those of codes that it takes.
    `takes_readings`: those of polled streams.
    `durable_at_once`: a commit survives a power cut. `keeps_infinities`, `keeps_negative_zero`: of boards that deliver
    floats. `joins_quiet`: what is not triggered is one gap, not merely gaps that follow on each other. `channel_names`:
    names that it can hold, however strange.
    """

    writer_class: Callable[..., SinkWriter]
    reader_class: Callable[..., OutputReader] | None = None
    path: Path | None = None
    layout: Layout = Layout.WIDE
    options: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    dtypes: Sequence[str] = ("int16", "int32", "float64")
    channel_names: Sequence[str] = AWKWARD_NAMES
    appends: Appends = Appends.NEVER
    takes_readings: bool = False
    durable_at_once: bool = False
    keeps_infinities: bool = True
    keeps_negative_zero: bool = True
    joins_quiet: bool = False

    def at(self, path: Path) -> SinkUnderTest:
        """The same kind of output in another place."""
        return replace(self, path=path)

    @property
    def file(self) -> Path:
        """Where it is. Skips the test of a sink that writes no file."""
        if self.path is None:
            pytest.skip("it writes no file")
        return self.path

    def writer(self, on_exists: OnExists = OnExists.ERROR) -> SinkWriter:
        """A writer that is not open yet."""
        return self.writer_class(OutputOptions(self.path, self.layout, on_exists), **self.options)

    def resumed(self, stream: Stream, start: int = 0) -> tuple[SinkWriter, Position]:
        """A writer that goes on behind a predecessor that may have been killed just now."""
        for _ in range(_TRIES):
            writer = self.writer()
            try:
                return writer, writer.open(stream, start, resume=True)
            except OutputLocked:
                continue
        raise AssertionError("the output is locked, though its writer is dead")

    def reader(self, run_id: str = "run-1") -> Any:
        """A reader of that run's output, as `verify` makes it. Skips the test of a sink that has none."""
        if self.reader_class is None:
            pytest.skip("its class has no Reader: what it wrote is for its own programs to read")
        options = self.options if self.path is None else {}
        return self.reader_class(self.path, run_id=run_id, **options)

    def rows(self, run_id: str = "run-1") -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """(sample_index, t_mono_ns, values (n_channels, n)), each channel's index being the same."""
        found: dict[int, list[tuple[NDArray[Any], ...]]] = {}
        utc_ahead_ns = ANCHOR.t_utc_ns - ANCHOR.t_mono_ns
        for batch in self.reader(run_id).batches():
            assert (batch.t_utc_ns - batch.t_mono_ns == utc_ahead_ns).all(), "t_utc and t_mono are of one instant"
            for number, values in enumerate(batch.values):
                channel = number if batch.channel is None else batch.channel
                found.setdefault(channel, []).append((batch.sample_index, batch.t_mono_ns, values))
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0))
        parts = [[np.concatenate(part) for part in zip(*found[channel], strict=True)] for channel in sorted(found)]
        assert all(np.array_equal(part[0], parts[0][0]) for part in parts), "every channel has the same samples"
        return parts[0][0], parts[0][1], np.stack([part[2] for part in parts])

    def write_a_run(self, stream: Stream, items: Sequence[Block | Gap], on_exists: OnExists = OnExists.ERROR) -> None:
        """A whole run, from `open` to `close`."""
        writer = self.writer(on_exists)
        writer.open(stream, 0, resume=False)
        writer.append(items)
        writer.close()


def expected(stream: Stream, start: int, stop: int) -> NDArray[np.float64]:
    """The values of the counter in the channels' unit: (n_channels, stop - start)."""
    codes: NDArray[np.float64] = codes_of(len(stream.channels), start, stop, stream.dtype).astype(float)
    if stream.channels[0].is_raw:
        return codes
    return codes * stream.channels[0].scale + stream.channels[0].offset
