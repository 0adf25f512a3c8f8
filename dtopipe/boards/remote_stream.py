"""Whether the stream that another machine sends is the one that is followed."""

from __future__ import annotations

from dtopipe.model.errors import BoardError
from dtopipe.wire.link_messages import StreamBegins

BOARD = "remote"


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
