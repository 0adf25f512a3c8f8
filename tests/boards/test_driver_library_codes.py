"""Codes are kept as the board gave them, signed, and mean the same volts."""

from __future__ import annotations

import numpy as np
import pytest

from dtopipe.boards.driver_library.codes import Converter

OFFSET_16 = Converter(-10.0, 10.0, 16, twos_complement=False)


def test_offset_binary_of_16_bits_is_signed_by_its_highest_bit_and_scans_become_channels() -> None:
    flat = np.array([0, 1, 32768, 32767, 65535, 40000], np.uint16)
    expected = (flat ^ 0x8000).view(np.int16).reshape(3, 2).T
    for given in (flat, flat.view(np.int16)):
        signed = OFFSET_16.signed(given, 2)
        assert signed.dtype == np.int16
        assert signed.flags.c_contiguous
        assert np.array_equal(signed, expected)
    assert np.array_equal(OFFSET_16.as_read(expected), flat)
    assert OFFSET_16.scale_and_offset(1.0) == (20 / 65536, -10 + 32768 * (20 / 65536))


def test_twos_complement_is_kept_as_it_is() -> None:
    converter = Converter(-10.0, 10.0, 16, twos_complement=True)
    flat = np.array([-32768, 5, 0, 32767], np.int16)
    assert converter.signed(flat, 2).tolist() == [[-32768, 0], [5, 32767]]
    assert np.array_equal(converter.as_read(converter.signed(flat, 2)), flat)


@pytest.mark.parametrize(("bits", "dtype"), [(12, "int16"), (16, "int16"), (24, "int32")])
@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_volts_are_the_driver_librarys_own_at_any_resolution(bits: int, dtype: str, gain: float) -> None:
    converter = Converter(-10.0, 10.0, bits, twos_complement=False)
    full = 1 << bits
    codes = np.array([0, 1, full // 2, full - 1], f"u{dtype}")
    scale, offset = converter.scale_and_offset(gain)
    signed = converter.signed(codes, 1)
    assert signed.dtype == dtype
    volts = signed[0] * scale + offset
    # code_to_input_volts of dtollib 0.1.0
    assert np.allclose(volts, (20.0 / full * codes.astype(np.float64) - 10.0) / gain, rtol=0, atol=1e-12)
    assert converter.limits(gain) == (-10 / gain, 10 / gain)


def test_what_is_no_whole_scan_is_left_out() -> None:
    assert OFFSET_16.signed(np.arange(7, dtype=np.uint16), 3).shape == (3, 2)
