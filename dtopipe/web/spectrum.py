"""The amplitude spectrum of a stretch of samples: what is periodic in a channel, in the channel's own unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import UsageError

LEAST_SAMPLES, MOST_SAMPLES = 16, 2**20
# As many as a page draws; of more, the largest of each group stands for it.
_MOST_LINES = 2048
_N_PEAKS = 3


class NoSpectrum(UsageError):
    """Of these samples there is no right spectrum; says why, and what to do."""


def spectrum_of(values: NDArray[np.float64], rate_hz: float, unit: str) -> dict[str, Any]:
    """Frequencies in Hz and amplitudes in the unit, of (n,) samples in a row without a null, for a page.

    A sine of amplitude 1 in the middle of a bin shows as 1; between two bins by up to 1.4 dB less, as a Hann window
    has it. The window, and amplitudes by its coherent gain `sum(w)`, one-sided: F. J. Harris, "On the use of windows
    for harmonic analysis with the discrete Fourier transform", Proc. IEEE 66 (1978) 51-83; G. Heinzel, A. Ruediger,
    R. Schilling, "Spectrum and spectral density estimation by the DFT" (2002). The mean is taken out before, and is
    the line at 0 Hz: a window would smear it over the next ones. Raises NoSpectrum where there are too few or too many.
    """
    n = len(values)
    if n < LEAST_SAMPLES:
        raise NoSpectrum(f"{n:,} samples are too few for a spectrum", f"take a span of {LEAST_SAMPLES} or more")
    if n > MOST_SAMPLES:
        raise NoSpectrum(f"{n:,} samples are too many for a spectrum", f"zoom in, to {MOST_SAMPLES:,} or less")
    amplitudes = amplitudes_of(values)
    hz = np.arange(len(amplitudes)) * (rate_hz / n)
    group = -(-len(amplitudes) // _MOST_LINES)
    begins = np.arange(0, len(amplitudes), group)
    # The largest line of each group at its own frequency: no line is hidden by others.
    shown = np.array([begin + int(amplitudes[begin : begin + group].argmax()) for begin in begins])
    return {
        "hz": hz[shown].tolist(),
        "amplitude": amplitudes[shown].tolist(),
        "unit": unit,
        "samples": n,
        "resolution_hz": rate_hz / n,
        "window": "Hann",
        "peaks": [{"hz": float(hz[at]), "amplitude": float(amplitudes[at])} for at in _peaks(amplitudes)],
    }


def amplitudes_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n // 2 + 1,) amplitudes of (n,) samples; the line at 0 is the mean's."""
    n = len(values)
    # The periodic form, as for a DFT: its zero is the first sample of the next period.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    gain = window.sum()
    mean = float((values * window).sum() / gain)
    amplitudes: NDArray[np.float64] = np.abs(np.fft.rfft((values - mean) * window)) / gain
    # Every line but those at 0 and at half the rate stands for two, at its frequency and at minus that.
    amplitudes[1 : None if n % 2 else -1] *= 2
    amplitudes[0] = abs(mean)
    return amplitudes


def ensure_whole(index: NDArray[np.int64], values: NDArray[np.float64], wanted: int, step: int = 1) -> None:
    """Raises NoSpectrum, in words, if samples are absent or have no value: of such a span there is no right spectrum.

    `wanted`: how many rows the span should have; `step`: from one's index to the next one's.
    """
    absent = wanted - len(index)
    if absent > 0:
        holes = np.flatnonzero(np.diff(index) > step)
        where = f", the first behind sample {int(index[holes[0]]):,}" if len(holes) else ""
        raise NoSpectrum(f"{absent:,} samples of this span are absent{where}", "zoom to a part without a gap")
    nulls = np.flatnonzero(~np.isfinite(values))
    if len(nulls):
        raise NoSpectrum(
            f"{len(nulls):,} samples of this span have no value, the first is sample {int(index[nulls[0]]):,}",
            "zoom to a part in which the sensor gave values",
        )


def _peaks(amplitudes: NDArray[np.float64]) -> list[int]:
    """The largest lines that are higher than both neighbours, the mean's aside."""
    inner = amplitudes[1:]
    left = np.concatenate([[0.0], inner[:-1]])
    right = np.concatenate([inner[1:], [0.0]])
    at = np.flatnonzero((inner > left) & (inner >= right))
    found = at[np.argsort(inner[at])[::-1][:_N_PEAKS]] + 1
    return [int(place) for place in found]
