"""What is known of the board that follows a run in a stream of NATS servers."""

from __future__ import annotations

from dtopipe.model.board_types import BoardType

JETSTREAM = BoardType(
    name="jetstream",
    board="dtopipe.boards.jetstream.board:JetStreamBoard",
    options="dtopipe.boards.jetstream.part:JetStreamBoardOptions",
    problems="dtopipe.boards.jetstream.checks:check_server",
    follows=True,
    links=False,
    schemes=("nats", "tls"),
)
