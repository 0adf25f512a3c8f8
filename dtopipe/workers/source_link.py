"""What the acquirer gives a board that is another machine: a link with our key, and a line to our supervisor."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

from dtopipe.boards.contract import LinkedBoard
from dtopipe.core.link_clock import LinkPair
from dtopipe.model.errors import BoardError, DtopipeError
from dtopipe.transport.source_link import SourceLink
from dtopipe.wire.messages import TO_ACQUIRER, ClocksCompared, SourceAway, SourceBack, StopBoard
from dtopipe.wire.orders import AcquirerOrders
from dtopipe.workers.process import Worker


class SupervisorLine:
    """Tells the supervisor how the link is, and hears while the board is being opened whether it is still wanted."""

    def __init__(self, worker: Worker[AcquirerOrders]) -> None:
        self._worker = worker

    def away(self, why: str) -> None:
        """The other machine is not there."""
        self._worker.control.send(SourceAway(why))

    def back(self) -> None:
        """It is there again."""
        self._worker.control.send(SourceBack())

    def compared(self, pair: LinkPair) -> None:
        """The clocks of both machines at one instant."""
        self._worker.control.send(ClocksCompared(astuple(pair)))

    def is_wanted(self) -> bool:
        """False once the run is to end before it began."""
        message = self._worker.control.receive(TO_ACQUIRER)
        return not (self._worker.orphaned.is_set() or isinstance(message, StopBoard))


def give_link(board: LinkedBoard, worker: Worker[AcquirerOrders]) -> None:
    """Give the board its link. Raises BoardError."""
    orders = worker.orders
    options = orders.options
    try:
        link = SourceLink(str(options["endpoint"]), None if options.get("insecure") else Path(options["server_key"]))
    except DtopipeError as error:
        raise BoardError("remote", error.headline, error.remedy) from error
    board.take_link(link, SupervisorLine(worker), orders.remote_id, orders.followed_run)
