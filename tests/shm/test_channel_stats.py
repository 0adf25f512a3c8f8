"""Channel statistics against the plainest way to count them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dtopipe.shm.channel_stats import ChannelStats, no_samples
from dtopipe.shm.layout import Stat

N_CHANNELS = 3
STATUSES = st.sampled_from([0, 0, 0, 1, 3])
Blocks = list[tuple[NDArray[Any], NDArray[np.int8] | None]]


def values_of(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "float64":
        return st.one_of(st.floats(-1e3, 1e3), st.just(np.nan))
    limits = np.iinfo(dtype)
    return st.sampled_from([limits.min, limits.min + 1, -1, 0, 5, limits.max - 1, limits.max])


@st.composite
def blocks_of(draw: st.DrawFn, dtype: str) -> Blocks:
    found: Blocks = []
    for _ in range(draw(st.integers(0, 4))):
        shape = (N_CHANNELS, draw(st.integers(0, 6)))
        codes = draw(arrays(dtype, shape, elements=values_of(dtype)))
        status = draw(st.none() | arrays(np.int8, shape, elements=STATUSES))
        found.append((codes, status))
    return found


def plainly(blocks: Blocks, dtype: str) -> NDArray[np.float64]:
    """(Stat.ROWS, N_CHANNELS), sample by sample."""
    stats = no_samples(dtype, N_CHANNELS)
    for codes, status in blocks:
        for channel, index in np.ndindex(codes.shape):
            value = codes[channel, index]
            if status is not None and status[channel, index] != 0:
                stats[Stat.NOT_OK, channel] += 1
                stats[Stat.OPEN, channel] += status[channel, index] == 1
            elif value == value:  # NaN is no value
                stats[Stat.MIN, channel] = min(stats[Stat.MIN, channel], value)
                stats[Stat.MAX, channel] = max(stats[Stat.MAX, channel], value)
                if dtype != "float64" and value in (np.iinfo(dtype).min, np.iinfo(dtype).max):
                    stats[Stat.AT_RAIL, channel] += 1
    return stats


@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
@given(data=st.data())
def test_what_is_counted_is_what_was_published_also_by_successors(dtype: str, data: st.DataObject) -> None:
    blocks = data.draw(blocks_of(dtype))
    successions = data.draw(st.sets(st.integers(0, 3)))
    stats = no_samples(dtype, N_CHANNELS)
    counting = ChannelStats(stats, dtype)
    for number, (codes, status) in enumerate(blocks):
        if number in successions:
            counting.write(stats)
            counting = ChannelStats(stats, dtype)
        counting.count(codes, status)
    counting.write(stats)
    assert np.array_equal(stats, plainly(blocks, dtype))


def test_a_channel_without_a_sample_has_its_lowest_code_above_its_highest() -> None:
    for dtype in ("int16", "int32", "float64"):
        stats = no_samples(dtype, 1)
        assert stats[Stat.MIN, 0] > stats[Stat.MAX, 0]
