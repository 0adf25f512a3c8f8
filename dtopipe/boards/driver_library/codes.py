"""What the codes of a driver's converter mean: signed, by channel, and in volts at the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Converter:
    """A converter of `bits` from `low` to `high` volts; `twos_complement`: its codes are signed already.

    Offset binary counts from `low`: its middle is moved to 0, which loses nothing and is `^ 0x8000` for 16 bits.
    """

    low: float
    high: float
    bits: int
    twos_complement: bool

    @property
    def dtype(self) -> str:
        """Numpy's name of a signed code."""
        return "int16" if self.bits <= 16 else "int32"

    @property
    def width_bytes(self) -> int:
        """The bytes that a code takes in the driver's buffers."""
        return 2 if self.bits <= 16 else 4

    def limits(self, gain: float) -> tuple[float, float]:
        """Lowest and highest value at the input, in volts."""
        return self.low / gain, self.high / gain

    def scale_and_offset(self, gain: float) -> tuple[float, float]:
        """Volts at the input are `signed code * scale + offset`."""
        low, high = self.limits(gain)
        scale = (high - low) / (1 << self.bits)
        return scale, low + (1 << (self.bits - 1)) * scale

    def signed(self, flat: NDArray[Any], n_channels: int) -> NDArray[Any]:
        """(n_channels, n) of `dtype` from scans one behind the other; what is no whole scan is left out."""
        scans = len(flat) // n_channels
        codes = flat[: scans * n_channels].reshape(scans, n_channels).T
        if self.twos_complement:
            return np.ascontiguousarray(codes, dtype=self.dtype)
        unsigned = np.dtype(f"u{self.dtype}")
        middle = unsigned.type(1 << (self.bits - 1))
        # The driver's views call offset binary signed: the bits count.
        return np.ascontiguousarray(codes.view(unsigned) - middle).view(self.dtype)

    def as_read(self, signed: NDArray[Any]) -> NDArray[Any]:
        """The other way: what a driver would give for these (n_channels, n) codes, scans one behind the other."""
        flat = np.ascontiguousarray(signed.T, dtype=self.dtype).reshape(-1)
        if self.twos_complement:
            return flat
        unsigned = np.dtype(f"u{self.dtype}")
        raised: NDArray[Any] = flat.view(unsigned) + unsigned.type(1 << (self.bits - 1))
        return raised
