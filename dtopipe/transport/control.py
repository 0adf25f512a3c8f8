"""The control plane: the supervisor's end, and the end of everybody who speaks with it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import zmq

from dtopipe.model.errors import DtopipeError, WireError
from dtopipe.transport.link import Keys, bind, bind_in, connect
from dtopipe.transport.malformed import Malformed
from dtopipe.wire.control import MOST_PASSED_OVER, Message, decode, encode
from dtopipe.wire.message_fields import TypedMessage
from dtopipe.wire.vocabulary import Vocabulary

if TYPE_CHECKING:
    from dtopipe.wire.commands import Answered

_NAME = "control"

M = TypeVar("M")


class ControlServer:
    """Hears workers and commands; answers each by the address that it spoke from."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._socket, self.endpoint = bind(zmq.ROUTER, folder, _NAME, keys)
        self._is_a_file = self.endpoint.endswith(f"/{_NAME}")
        self._hearings = 0
        # For those who do not reach the endpoint; empty where there is none.
        self.other_endpoint = ""
        if not self._is_a_file:
            self.hear_in(folder)
        self.malformed = Malformed("message")

    def hear_in(self, folder: Path) -> None:
        """Be reached in this folder too, which is a new one, or was cleared away."""
        # Each time by another name: a listener takes its file away at its end, whosever that is by then.
        self._hearings += 1
        bound = bind_in(folder, f"{_NAME}.{self._hearings}", self._socket)
        if self._is_a_file:
            self.endpoint = bound or self.endpoint
        else:
            self.other_endpoint = bound

    def receive(self, timeout_s: float) -> tuple[bytes, Message] | None:
        """The next message with its sender's address, by which its vocabulary is known; or None.

        What is malformed is counted and dropped.
        """
        if not self._socket.poll(round(timeout_s * 1000), zmq.POLLIN):
            return None
        for _ in range(MOST_PASSED_OVER):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
                if len(frames) != 2:
                    raise WireError(f"{len(frames)} frames")
                return frames[0], decode(frames[1])
            except zmq.Again:
                return None
            except WireError as error:
                self.malformed.note(error)
        return None

    def send(self, address: bytes, message: TypedMessage) -> None:
        """Never waits; a peer that has gone is no error."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([address, encode(message)], zmq.NOBLOCK)

    def close(self) -> None:
        """Give the endpoint up."""
        self._socket.close(200)


class ControlClient:
    """A worker's or a command's end."""

    def __init__(self, endpoint: str, keys: Keys, address: str = "", alone: threading.Event | None = None) -> None:
        """`alone`: set once the other end is gone for good; whoever speaks at its endpoint then is somebody else."""
        # Of its own: the process's ends with the process, whatever is still to be sent.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = connect(zmq.DEALER, endpoint, keys, address, self._context)
        self._alone = alone or threading.Event()

    def send(self, message: Message | TypedMessage) -> None:
        """Never waits."""
        self._socket.send(encode(message))

    def receive(self, vocabulary: Vocabulary[M], timeout_s: float = 0.0) -> M | None:
        """The next message, or None if there is none of these within `timeout_s`; what is malformed is dropped."""
        if not self._socket.poll(round(timeout_s * 1000), zmq.POLLIN):
            return None
        with contextlib.suppress(WireError):
            said = self._socket.recv()
            return None if self._alone.is_set() else vocabulary.read(decode(said))
        return None

    def ask(self, message: TypedMessage, timeout_s: float = 5.0) -> Answered:
        """Send and wait for the answer. Raises DtopipeError if there is none in time."""
        # Imported here: a worker asks nobody, and would pay for it at its start.
        from dtopipe.wire.commands import ANSWERED

        self.send(message)
        answer = self.receive(ANSWERED, timeout_s)
        if answer is None:
            raise DtopipeError(
                f"the run did not answer within {timeout_s:g} s",
                "its machine or its disk may be busy; dtopipe status tells whether it has done it meanwhile",
            )
        return answer

    def close(self) -> None:
        """Leave, once what was said last has gone out: it waits for that, at most 1 s."""
        self._socket.close(0 if self._alone.is_set() else 1000)
        self._context.term()
