"""A name that one process of the machine at a time can have, whoever its user is and in whatever session it runs.

On Linux it is an abstract Unix socket: it needs no folder that all users may write to and nobody may sweep, the kernel
gives it back when its holder dies, and who asks is answered by the holder. Elsewhere it is a locked file in a folder
that every user has.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path

from dtopipe.host.lock import FileLock, LockHeld

_PREFIX = "dtopipe-held-"
_PATIENCE_S = 1.0
_TRIES, _PAUSE_S = 20, 0.02
_LONGEST_ANSWER = 4096
_OF_EVERYBODY = "/var/tmp"  # noqa: S108
_FOLDER = os.environ.get("PROGRAMDATA", tempfile.gettempdir()) if sys.platform == "win32" else _OF_EVERYBODY


class NameTaken(Exception):
    """Somebody has it. `holder`: what they say of themselves; `pid`, `user_id`: as the system says, where it does."""

    def __init__(self, holder: dict[str, str], pid: int | None = None, user_id: int | None = None) -> None:
        super().__init__("the name is taken")
        self.holder = holder
        self.pid = pid
        self.user_id = user_id


class _LockedFile:
    """The name as a locked file that says who holds it."""

    def __init__(self, name: str) -> None:
        self._path = Path(_FOLDER) / f"{name}.lock"
        self._lock: FileLock | None = None

    def hold(self, said: bytes) -> None:
        """Raises NameTaken, OSError."""
        lock = FileLock(self._path, for_everybody=True)
        try:
            lock.acquire()
        except LockHeld:
            raise NameTaken(_holder(self._path.read_bytes()[:_LONGEST_ANSWER])) from None
        self._lock = lock
        with contextlib.suppress(OSError):
            lock.write(said)

    def let_go(self) -> None:
        """Harmless when it is not held."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


if sys.platform == "linux":

    class _AbstractSocket:
        """The name as an abstract socket, at which a thread says who holds it."""

        def __init__(self, name: str) -> None:
            self._address = f"\0{name}"
            self._socket: socket.socket | None = None

        def hold(self, said: bytes) -> None:
            """Raises NameTaken, OSError."""
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # Whoever has it may let it go just now.
            for tries_left in reversed(range(_TRIES)):
                try:
                    bound.bind(self._address)
                    bound.listen()
                    break
                except OSError as error:
                    taken = self._taken()
                    if taken is not None or not tries_left:
                        bound.close()
                        raise taken or error from None
                    time.sleep(_PAUSE_S)
            self._socket = bound
            threading.Thread(target=_answer, args=(bound, said), name="device", daemon=True).start()

        def let_go(self) -> None:
            """Harmless when it is not held."""
            if self._socket is not None:
                # Wakes the thread that answers, which has it open too.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                self._socket.close()
                self._socket = None

        def _taken(self) -> NameTaken | None:
            """The holder; None if there is none."""
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
                asking.settimeout(_PATIENCE_S)
                try:
                    asking.connect(self._address)
                except TimeoutError:
                    return NameTaken({})
                except OSError:
                    return None
                pid, user_id, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                said = b""
                # Who is stopped holds it all the same.
                with contextlib.suppress(OSError):
                    while len(said) < _LONGEST_ANSWER and (more := asking.recv(_LONGEST_ANSWER)):
                        said += more
                return NameTaken(_holder(said), pid, user_id)

    _Held = _AbstractSocket
else:
    _Held = _LockedFile


class MachineWideName:
    """One name, from `hold` to `let_go` or the process's death."""

    def __init__(self, name: str) -> None:
        self._held = _Held(f"{_PREFIX}{sha256(name.encode()).hexdigest()[:32]}")

    def hold(self, holder: dict[str, str]) -> None:
        """`holder`: what others are told who want it meanwhile. Raises NameTaken, OSError."""
        self._held.hold(json.dumps(holder).encode())

    def let_go(self) -> None:
        """Harmless when it is not held."""
        self._held.let_go()


def _answer(bound: socket.socket, said: bytes) -> None:
    """Say who holds it to whoever asks, until it is let go."""
    with contextlib.suppress(OSError):
        while True:
            asking, _ = bound.accept()
            with asking, contextlib.suppress(OSError):
                asking.settimeout(_PATIENCE_S)
                asking.sendall(said)


def _holder(said: bytes) -> dict[str, str]:
    """What somebody says of himself, as far as it can be understood."""
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(said)
        if isinstance(told, dict):
            return {str(key): value for key, value in told.items() if isinstance(value, str)}
    return {}
