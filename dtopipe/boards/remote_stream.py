"""The stream that another machine sends: whether it is the one that is followed, and how much may be on its way."""

from __future__ import annotations

import numpy as np

from dtopipe.model.errors import BoardError
from dtopipe.model.stream import Stream
from dtopipe.wire.link_messages import StreamBegins

BOARD = "remote"
# What may be on its way: enough for a long line, little enough for any memory; who drops wants nothing that is old.
_WINDOW_BYTES, _DROPPERS_WINDOW_BYTES = 32 * 2**20, 4 * 2**20
_LEAST_WINDOW, _MOST_WINDOW = 4, 4096


def refusal_of_stream(message: StreamBegins, endpoint: str, run_id: str) -> BoardError | None:
    """Why it is not; None if it is. `run_id`: of the run that is followed already, else empty."""
    if run_id and message.stream.run_id != run_id:
        return BoardError(
            BOARD,
            f"the run that was followed is over at {endpoint}, which serves another one now",
            f"what is absent here: there, dtopipe serve RUN; here, dtopipe repair RUN --from {endpoint}",
            is_final=True,
        )
    if message.anchor.t_mono_ns == 0:
        return BoardError(BOARD, f"{endpoint} serves no stream of samples", "install the same version there")
    return None


def window_of(stream: Stream, *, drops: bool) -> int:
    """How many blocks may be on their way."""
    block_bytes = len(stream.channels) * stream.samples_per_block * np.dtype(stream.dtype).itemsize
    window_bytes = _DROPPERS_WINDOW_BYTES if drops else _WINDOW_BYTES
    return max(_LEAST_WINDOW, min(_MOST_WINDOW, window_bytes // max(1, block_bytes)))
