"""Waking who sleeps: descriptors from the acquirer to its readers, credit from the readers to the acquirer.

Nobody sleeps longer than 50 ms without looking at shared memory again, so that a message may be lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import zmq

from dtopipe.transport.link import Keys, bind, connect
from dtopipe.wire.descriptor import encode_descriptor, topic

LONGEST_SLEEP_S = 0.05


class AcquirerWake:
    """The acquirer's ends: publishes descriptors, sleeps until credit comes."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._descriptors, self.descriptor_endpoint = bind(zmq.PUB, folder, "data", keys)
        self._credit, self.credit_endpoint = bind(zmq.PULL, folder, "credit", keys)
        self._sleeper = _Sleeper(self._credit)

    def announce(self, rows: Iterable[int], head: int, end_sample_index: int) -> None:
        """Wake these readers. Never waits."""
        for row in rows:
            self._descriptors.send(topic(row) + encode_descriptor(head, end_sample_index))

    def sleep(self, timeout_s: float) -> None:
        """Until some reader gives credit, at most `timeout_s` and never longer than 50 ms."""
        self._sleeper.sleep(timeout_s)

    def close(self) -> None:
        """Give the endpoints up."""
        self._descriptors.close(0)
        self._credit.close(0)


class ReaderWake:
    """A reader's ends: sleeps until its row is announced, gives credit."""

    def __init__(self, descriptor_endpoint: str, credit_endpoint: str, keys: Keys, row: int) -> None:
        self._descriptors = connect(zmq.SUB, descriptor_endpoint, keys)
        self._descriptors.setsockopt(zmq.SUBSCRIBE, topic(row))
        self._credit = connect(zmq.PUSH, credit_endpoint, keys)
        self._sleeper = _Sleeper(self._descriptors)

    def sleep(self, timeout_s: float) -> None:
        """Until a block is announced, at most `timeout_s` and never longer than 50 ms."""
        self._sleeper.sleep(timeout_s)

    def give_credit(self) -> None:
        """Wake the acquirer. Never waits."""
        # Without a peer there is nobody to wake.
        with contextlib.suppress(zmq.Again):
            self._credit.send(b"", zmq.NOBLOCK)

    def close(self) -> None:
        """Leave."""
        self._descriptors.close(0)
        self._credit.close(0)


class _Sleeper:
    """Sleeps on one socket; the poller is kept, as making one costs as much as the system call."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)

    def sleep(self, timeout_s: float) -> None:
        # One message a wake-up: a second one in the queue only ends the next sleep early.
        if self._poller.poll(round(min(timeout_s, LONGEST_SLEEP_S) * 1000)):
            with contextlib.suppress(zmq.Again):
                self._socket.recv(zmq.NOBLOCK)
