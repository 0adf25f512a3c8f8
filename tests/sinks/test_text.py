"""Texts made without a loop over samples are those that Python would write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtopipe.model.clock import Anchor, iso_utc
from dtopipe.model.errors import SinkError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputOptions, PartReader
from dtopipe.sinks.registry import load_reader, load_writer
from dtopipe.sinks.text.number_text import decimal_texts, repr_texts, whole_texts
from dtopipe.sinks.text.rows import ValueTexts, float_texts, iso_times, rising_integers, rows


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
    texts = float_texts(np.array(values, float), prefix=b",", null=b"", finite_only=False)
    assert plain(texts) == ["," if value != value else f",{value!r}" for value in values]
    for text in plain(float_texts(np.array(values, float), prefix=b"", null=b"null", finite_only=True)):
        json.loads(text)


@pytest.mark.parametrize("kind", ["any", "decades", "decimals", "binary fractions", "beside powers of ten", "wholes"])
@given(seed=st.integers(0, 2**32))
def test_floats_of_every_size_and_shape_are_written_as_repr_writes_them(kind: str, seed: int) -> None:
    chance = np.random.default_rng(seed)
    values = np.copysign(floats_of(kind, chance), chance.choice([-1.0, 1.0], 200))
    assert plain(repr_texts(values)) == [repr(value) for value in values.tolist()]


@given(st.lists(st.integers(1 - 10**15, 10**15 - 1), max_size=30))
@example([0, -1, 1, 9_999, 10_000, -10_001, 2731500])
def test_numbers_of_four_decimals_are_written_as_repr_writes_them(numbers: list[int]) -> None:
    values = np.array(numbers, np.float64) / 10_000
    texts = decimal_texts(values, b",")
    assert texts is not None
    assert plain(texts) == [f",{value!r}" for value in values.tolist()]


def test_numbers_of_more_decimals_are_left_to_others() -> None:
    assert decimal_texts(np.array([0.25, 0.00005])) is None
    assert decimal_texts(np.array([np.inf])) is None
    assert decimal_texts(np.array([1e11])) is None
    assert decimal_texts(np.array([1e308])) is None
    found = decimal_texts(np.array([-0.0, np.nan]))
    assert found is not None
    assert plain(found) == ["-0.0", "0.0"]


def floats_of(kind: str, chance: np.random.Generator) -> np.ndarray:
    """(200,) float64 of one kind."""
    n = 200
    if kind == "any":
        return chance.integers(0, 2**63, n).view(np.float64)
    if kind == "decades":
        return 10.0 ** chance.uniform(-6, 18, n)
    if kind == "decimals":
        return np.array([float(f"{value:.{chance.integers(0, 17)}f}") for value in chance.uniform(0, 100, n)])
    if kind == "binary fractions":
        return chance.integers(0, 2**30, n) / 2.0 ** chance.integers(0, 40, n)
    if kind == "beside powers of ten":
        beside: np.ndarray = np.nextafter(10.0 ** chance.integers(-5, 18, n), chance.choice([0, 10.0**20], n))
        return beside
    return np.floor(10.0 ** chance.uniform(0, 18, n))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30))
def test_whole_numbers_are_written_with_all_their_digits(numbers: list[int]) -> None:
    assert plain(whole_texts(np.array(numbers, np.int64), b",")) == [f",{number}" for number in numbers]


def plain(texts: np.ndarray) -> list[str]:
    """Without the NULs, which do not count."""
    return [text.replace(b"\0", b"").decode() for text in texts.tolist()]


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
    assert plain(texts[:, 0]) == [repr(code * scale + offset) for code in codes]
    assert plain(texts[:, 1]) == [str(code) for code in codes]
    status = np.zeros((2, len(codes)), np.int8)
    status[0, -1] = 2
    hidden = made(Block(0, 0, block.codes, block.anchor, status))
    assert hidden[-1, 0] == b"null"
    assert plain(hidden[:, 1]) == plain(texts[:, 1])


@pytest.mark.parametrize("sink", ["csv", "jsonl"])
def test_a_span_of_a_long_text_is_found_without_reading_the_rest(tmp_path: Path, sink: str) -> None:
    """And it is the same as what is found by reading everything; a damaged line elsewhere is not looked at."""
    channels = (Channel("a", "V", scale=10 / 65536), Channel("b", "V", scale=10 / 65536))
    stream = Stream("run-1", "heat", "simulated", channels, "int16", 3000.0, 1000, "2026-11-23T09:00:00Z")
    path = tmp_path / f"long.{sink}"
    writer = load_writer(sink)(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    anchor = Anchor(0, 5_000_000_000, 1_763_900_000_000_000_000)
    for number in range(20):
        first = 1000 * number + (500 if number >= 10 else 0)
        codes = np.arange(1000 * len(stream.channels), dtype=np.int16).reshape(len(stream.channels), 1000) + number
        if number == 10:
            writer.append([Gap(Span(10_000, 10_500), Cause.STALLED, anchor.t_utc_ns)])
        writer.append([Block(number, first, codes, anchor)])
        writer.commit()
    writer.close()
    reader = load_reader(sink)(path)
    assert isinstance(reader, PartReader)
    every = np.concatenate([rows.sample_index for rows in reader.batches()])
    spans = ((0, 1), (3, 700), (9_990, 10_510), (10_100, 10_200), (19_999, 20_400), (0, 2**40), (30_000, 30_001))
    for start, stop in spans:
        found = [rows.sample_index for rows in reader.rows_within(Wanted(start, stop), [1])]
        index = np.concatenate([np.empty(0, np.int64), *found])
        wanted = every[(every >= start) & (every < stop)]
        assert np.isin(wanted, index).all()
        assert len(index) - len(wanted) < 5_000
    data = path.read_bytes()
    path.write_bytes(data[:5_000] + b"\0" * 300 + data[5_300:])
    late = load_reader(sink)(path)
    assert isinstance(late, PartReader)
    assert np.concatenate([rows.sample_index for rows in late.rows_within(Wanted(20_000, 20_010), [0])])[-1] >= 20_009
    with pytest.raises(SinkError, match="damaged"):
        list(late.rows_within(Wanted(0, 20_010), [0]))
