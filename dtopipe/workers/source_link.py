"""What the acquirer gives a board that is another machine: a link with our key, and a line to our supervisor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from dtopipe.boards.base import Board, LinkedBoard
from dtopipe.core.link_clock import LinkPair
from dtopipe.model.errors import BoardError, DtopipeError
from dtopipe.transport.key_folder import KeyFolder, keys_dir, read_public_file
from dtopipe.transport.stream_client import StreamClient, Trouble
from dtopipe.wire.control import Message
from dtopipe.workers.process import Worker

_REFUSALS = {
    Trouble.UNKNOWN_KEY: (
        "it does not know this machine's key {fingerprint}",
        "there: dtopipe keys authorize {name}.pub, with the file that dtopipe keys show names here",
    ),
    Trouble.REVOKED_KEY: (
        "it has revoked this machine's key {fingerprint}",
        "here: dtopipe keys new --replace, and there: dtopipe keys authorize the new .pub file",
    ),
    Trouble.WRONG_SERVER_KEY: (
        "reached, but the handshake failed: most likely server_key is not that machine's key",
        "there: dtopipe keys show; server_key names a copy of that file; neither side, or both, says insecure: true",
    ),
    Trouble.OTHER_PROTOCOL: (
        "reached, but it does not speak as it should",
        "is that the endpoint of listen: there? neither side, or both, says insecure: true",
    ),
}


class SourceLink(StreamClient):
    """A link to the machine that a remote board names, by the user's own key."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        insecure = bool(options.get("insecure"))
        self._own_pair = None if insecure else KeyFolder(keys_dir()).own()
        server = None if insecure else read_public_file(Path(str(options["server_key"])))
        super().__init__(str(options["endpoint"]), self._own_pair, server)
        self.ensure_resolved()

    def refusal(self) -> tuple[str, str] | None:
        """(what is wrong, the way out), if the other end will never take us as we are."""
        words = _REFUSALS.get(self.trouble)
        if words is None:
            return None
        public = self._own_pair.public if self._own_pair else None
        name, fingerprint = (public.name, public.fingerprint) if public else ("", "")
        return words[0].format(fingerprint=fingerprint), words[1].format(name=name)


class SupervisorLine:
    """Tells the supervisor how the link is, and hears while the board is being opened whether it is still wanted."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def away(self, why: str) -> None:
        """The other machine is not there."""
        self._worker.control.send(Message("away", {"message": why}))

    def back(self) -> None:
        """It is there again."""
        self._worker.control.send(Message("back"))

    def compared(self, pair: LinkPair) -> None:
        """The clocks of both machines at one instant."""
        self._worker.control.send(Message("compared", {"pair": list(astuple(pair))}))

    def is_wanted(self) -> bool:
        """False once the run is to end before it began."""
        message = self._worker.control.receive()
        return not (self._worker.orphaned.is_set() or (message is not None and message.kind == "stop"))


def give_link(board: Board, worker: Worker) -> None:
    """Give the board its link, if it is another machine. Raises BoardError."""
    if not isinstance(board, LinkedBoard):
        return
    orders = worker.orders
    options: Mapping[str, Any] = orders.get("options", dict)
    try:
        link = SourceLink(options)
    except DtopipeError as error:
        message, _, remedy = str(error).partition("\n")
        raise BoardError("remote", message, remedy.strip()) from error
    remote_id, run_id = orders.get("remote_id", str), orders.get("followed_run", str, "")
    board.take_link(link, SupervisorLine(worker), remote_id, run_id)
