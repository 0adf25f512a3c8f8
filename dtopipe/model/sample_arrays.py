"""Arrays as programs and drivers hand them over: checked, and what is masked is no measurement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import SpecError


def checked_array(what: str, array: Any, n_channels: int, n_samples: int) -> NDArray[Any]:
    """The array, if it has one row a channel. Raises SpecError with what to write instead."""
    expected = f"(len(channels)={n_channels}, samples_per_channel={n_samples})"
    if not isinstance(array, np.ndarray):
        kind = type(array).__name__
        raise SpecError(f"{what} is a {kind}, and has to be a NumPy array of {expected}: numpy.asarray(...) makes one")
    if array.shape != (n_channels, n_samples):
        remedy = ""
        if array.ndim == 1 and n_channels == 1:
            remedy = ": one channel is one row, which array[numpy.newaxis, :] makes"
        elif array.shape == (n_samples, n_channels):
            remedy = ": a row is a channel, so give array.T"
        raise SpecError(f"{what} shape {array.shape} does not match {expected}{remedy}")
    return array


def measured(values: Any) -> NDArray[np.float64]:
    """As float64, NaN where the array is masked."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values, np.float64)


def unmasked(what: str, codes: NDArray[Any]) -> NDArray[Any]:
    """Codes without a mask. Raises SpecError where one is masked: no code says that there is none."""
    if not isinstance(codes, np.ma.MaskedArray):
        return codes
    if np.ma.is_masked(codes):
        raise SpecError(
            f"{what} has masked samples, and no code says so: name them in sensor_status, or give data alone"
        )
    return codes.data
