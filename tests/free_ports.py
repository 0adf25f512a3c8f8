"""Ports for tests."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """One that nobody has, nor gets before it is bound.

    The ports that the system gives to whoever connects are left alone: one of them could be taken by then, and who
    asks for it while nobody listens there may be given the same one and so be connected to itself.
    """
    while True:
        candidate = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", candidate))
            return candidate
