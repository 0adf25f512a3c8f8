"""What a board gives is held against what it said when it was opened: a board that errs alters no sample unseen."""

from __future__ import annotations

import numpy as np

from dtopipe.model.board_events import Taken


def broken_promise(taken: Taken, at: int, n_channels: int, dtype: np.dtype[np.generic]) -> tuple[str, str] | None:
    """(what is wrong with this buffer, the way out), or None.

    `at`: the index behind the last sample that came; `n_channels`, `dtype`: as the board said in `Opened`.
    """
    codes, status = taken.codes, taken.sensor_status
    if codes.ndim != 2 or codes.shape[0] != n_channels:
        return (
            f"it gave codes of the shape {codes.shape}, and has {n_channels} channels",
            "codes are (n_channels, n), a row a channel",
        )
    if codes.dtype != dtype:
        return f"it said {dtype} and gave {codes.dtype}", "say in Opened.dtype what it gives"
    if status is not None and (status.shape != codes.shape or status.dtype != np.int8):
        return (
            f"it gave a sensor status of {status.dtype}, {status.shape}, beside codes of the shape {codes.shape}",
            "it is int8, one for each code",
        )
    if taken.first_sample_index < at:
        return (
            f"it gave sample {taken.first_sample_index} once more, where {at} was to come",
            "indices rise, and no buffer overlaps the one before",
        )
    return None
