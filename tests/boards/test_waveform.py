"""The simulated board's codes, formula by formula."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.boards.code_tables import CodeSource, code_source
from dtopipe.boards.waveform import Counter, Noise, Sine, Waveform, splitmix64

indices = st.integers(0, 2**48)


@given(st.integers(0, 1000), indices)
def test_the_counter_is_the_formula_of_the_contract(channel: int, first: int) -> None:
    expected = [((i * (2 * channel + 1) + 257 * channel) % 65536) - 32768 for i in range(first, first + 20)]
    assert Counter(channel).codes(first, 20).tolist() == expected


@given(st.fractions(0, 3, max_denominator=1000), st.floats(0, 1), st.floats(-10, 10), st.integers(0, 10**6))
def test_the_sine_is_a_sine(cycles: Fraction, amplitude: float, phase: float, first: int) -> None:
    codes = Sine(cycles, amplitude, phase).codes(first, 20)
    for i, code in enumerate(codes.tolist(), first):
        radians = 2 * math.pi * float(i * cycles % 1) + phase
        assert abs(code - amplitude * 32768 * math.sin(radians)) <= 1.0


@given(indices, st.fractions(0, 3))
def test_a_sine_without_a_short_period_stays_in_phase_for_ever(first: int, cycles: Fraction) -> None:
    cycles += Fraction(1, 3**40)
    codes = Sine(cycles, 1.0, 0.0).codes(first, 5)
    for i, code in enumerate(codes.tolist(), first):
        assert abs(code - 32768 * math.sin(2 * math.pi * float(i * cycles % 1))) <= 3.0


def test_splitmix64_gives_the_published_numbers() -> None:
    # The first outputs for seed 1234567 of the reference implementation.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix64(1234567, 0, 4).tolist() == expected
    assert splitmix64(1234567, 2, 2).tolist() == expected[2:]


def test_noise_is_uniform_within_its_amplitude_and_differs_by_channel_and_seed() -> None:
    codes = Noise(1, 0, 0.5).codes(0, 100_000).astype(float)
    assert codes.min() >= -16384
    assert codes.max() < 16384
    assert abs(codes.mean()) < 150
    assert abs(codes.std() - 32768 / math.sqrt(12)) < 100
    assert abs(np.corrcoef(codes[:-1], codes[1:])[0, 1]) < 0.02
    for other in (Noise(2, 0, 0.5), Noise(1, 1, 0.5)):
        assert abs(np.corrcoef(codes, other.codes(0, 100_000))[0, 1]) < 0.02


WAVEFORMS: list[Waveform] = [
    Counter(0),
    Counter(5),
    Sine(Fraction(1, 1000), 0.9, 0.5),
    Sine(Fraction(1, 999_983), 0.9, 0.0),
    Noise(3, 1, 1.0),
]


@pytest.mark.parametrize("chosen", [[0, 1], [2], [0, 2], [0, 1, 2, 3, 4]])
@given(first=indices, count=st.integers(1, 300), cut=st.integers(0, 300))
def test_a_sample_has_the_same_code_in_whatever_block_it_comes(
    chosen: list[int], first: int, count: int, cut: int
) -> None:
    waveforms = [WAVEFORMS[number] for number in chosen]
    block = SOURCES[tuple(chosen)].block(first, count).copy()
    assert np.array_equal(block, [waveform.codes(first, count) for waveform in waveforms])
    cut = min(cut, count)
    head = SOURCES[tuple(chosen)].block(first, cut).copy()
    tail = SOURCES[tuple(chosen)].block(first + cut, count - cut)
    assert np.array_equal(block, np.concatenate([head, tail], axis=1))


def test_many_channels_do_not_take_memory_for_tables() -> None:
    source = code_source([Counter(c) for c in range(3000)], 10)
    assert np.array_equal(source.block(10**9, 10)[2999], Counter(2999).codes(10**9, 10))


SOURCES: dict[tuple[int, ...], CodeSource] = {
    chosen: code_source([WAVEFORMS[number] for number in chosen], 300)
    for chosen in ((0, 1), (2,), (0, 2), (0, 1, 2, 3, 4))
}
