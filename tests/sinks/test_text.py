"""Texts made without a loop over samples are those that Python would write."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtopipe.model.clock import Anchor, iso_utc
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.sinks.text import ValueTexts, float_texts, iso_times, rising_integers, rows


@given(st.integers(-(10**6), 10**18), st.integers(1, 300))
@example(0, 11)
@example(99_990, 20)
@example(9_999_999, 2)
@example(999_999_999_999_999_999, 5)
def test_rising_integers_are_written_without_leading_zeros(first: int, count: int) -> None:
    values = np.arange(first, first + count)
    texts = rows([b"", b"\n"], [rising_integers(values)])
    assert texts == b"".join(b"%d\n" % value for value in values.tolist())


@given(st.integers(-(10**18), 4 * 10**18), st.integers(1, 10**10), st.integers(1, 100))
@example(999_999_999, 1, 3)
@example(-1, 1, 3)
def test_times_are_iso_8601_with_nine_digits(first: int, step: int, count: int) -> None:
    t_utc_ns = first + np.arange(count) * step
    texts = iso_times(t_utc_ns).tolist()
    assert [text.decode() for text in texts] == [iso_utc(t) for t in t_utc_ns.tolist()]
    seconds = datetime.fromtimestamp(first // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert texts[0].decode().startswith(seconds)


@given(st.lists(st.floats(), max_size=30))
def test_floats_are_written_as_repr_writes_them(values: list[float]) -> None:
    texts = float_texts(np.array(values, float), prefix=b",", null=b"", finite_only=False).tolist()
    assert [text.decode() for text in texts] == ["," if value != value else f",{value!r}" for value in values]
    for text in float_texts(np.array(values, float), prefix=b"", null=b"null", finite_only=True).tolist():
        json.loads(text)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
@given(
    codes=st.lists(st.integers(-32768, 32767), min_size=1, max_size=20),
    scale=st.floats(1e-6, 1e6),
    offset=st.floats(-1e6, 1e6),
)
@example(codes=[-32768, -1, 0, 1, 32767], scale=0.005, offset=-5.12)
def test_values_are_code_times_scale_plus_offset_to_the_last_digit(
    dtype: str, codes: list[int], scale: float, offset: float
) -> None:
    channels = (Channel("a", scale=scale, offset=offset), Channel("b", kind="raw"))
    stream = Stream("r", "t", "d", channels, dtype, 1.0, 1, "2026-01-01T00:00:00Z")
    made = ValueTexts(stream, prefix=b"", null=b"null", finite_only=True)
    block = Block(0, 0, np.array([codes, codes], dtype), Anchor(0, 0, 0))
    texts = made(block)
    assert [text.decode() for text in texts[:, 0]] == [repr(code * scale + offset) for code in codes]
    assert [text.decode() for text in texts[:, 1]] == [str(code) for code in codes]
    status = np.zeros((2, len(codes)), np.int8)
    status[0, -1] = 2
    hidden = made(Block(0, 0, block.codes, block.anchor, status))
    assert hidden[-1, 0] == b"null"
    assert np.array_equal(hidden[:, 1], texts[:, 1])
