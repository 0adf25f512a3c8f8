"""What the system's TCP can be told."""

from __future__ import annotations

import socket
import sys
from functools import cache

# As winsock2 has it; Python has no name for it.
_TCP_MAXRT = 5


@cache
def ends_what_is_not_acknowledged() -> bool:
    """True where a connection can be given a time after which it ends if nobody acknowledges what it sends.

    ZeroMQ ends the process where it was told to set one and cannot: some that call themselves Windows, wine among
    them, do not know it.
    """
    if sys.platform == "win32":
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asked:
            try:
                asked.setsockopt(socket.IPPROTO_TCP, _TCP_MAXRT, 30)
            except OSError:
                return False
    return True
