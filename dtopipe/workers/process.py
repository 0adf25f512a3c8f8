"""What every worker process does first: read its orders, show that it lives, find its supervisor."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.lock import LockHeld
from dtopipe.host.log_lines import LogLines
from dtopipe.host.runtime import RuntimeEntry
from dtopipe.model.errors import BoardError, DtopipeError, SinkError
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys
from dtopipe.wire.control import Message, read_frame

EXIT_REPORTED_FAILURE = 3


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process that is up: its orders, its folder, its line to the supervisor.

    `orphaned` is set once the supervisor is gone: nobody answers any more, the run must be ended in order.
    """

    name: str
    orders: Message
    entry: RuntimeEntry
    life: LifeLocks
    keys: Keys
    control: ControlClient
    orphaned: threading.Event

    def fail(self, error: BaseException) -> None:
        """Tell the supervisor why this process ends. A DtopipeError is told as it is, a surprise with its type."""
        name = type(error).__name__
        body: dict[str, Any] = {"error": name, "message": f"{name}: {error}", "remedy": "", "path": ""}
        if isinstance(error, (BoardError, SinkError)):
            body |= {"message": error.message, "remedy": error.remedy}
        elif isinstance(error, DtopipeError):
            body["message"] = str(error)
        if isinstance(error, BoardError):
            body["is_final"] = error.is_final
        if isinstance(error, SinkError):
            body["path"] = error.path or ""
        self.control.send(Message("failed", body))


def run_worker(main: Callable[[Worker], None]) -> int:
    """Set a worker process up, run `main`, and say how it went. Returns the exit code."""
    _ignore_the_terminal()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    orders = read_frame(sys.stdin.buffer)
    name = orders.get("name", str)
    entry = RuntimeEntry(Path(orders.get("entry", str)))
    life = LifeLocks(Path(orders.get("run_folder", str)))
    lock = life.lock(orders.get("lock", str))
    try:
        # A command that looks whether we live holds the lock for an instant.
        lock.acquire(timeout_s=5.0)
    except LockHeld:
        raise
    except OSError as error:
        # The disk of the run folder is away, or full: whoever comes for it then must be able to wait.
        logging.warning("%s: cannot show that it lives: %s", name, error)
    orphaned = _watch_life_line()
    keys = Keys(orders.get("public_key", str), orders.get("secret_key", str))
    control = ControlClient(orders.get("control", str), keys, orders.get("address", str), orphaned)
    worker = Worker(name, orders, entry, life, keys, control, orphaned)
    control.send(Message("hello", {"pid": os.getpid()}))
    logging.info("%s: started, pid %d", name, os.getpid())
    try:
        main(worker)
    except Exception as error:
        logging.exception("%s: failed", name)
        worker.fail(error)
        return EXIT_REPORTED_FAILURE
    finally:
        control.close()
    logging.info("%s: ended in order", name)
    return 0


def _watch_life_line() -> threading.Event:
    """Set once the pipe from the supervisor closes, which its death does on every system."""
    orphaned = threading.Event()

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        orphaned.set()

    threading.Thread(target=watch, name="life line", daemon=True).start()
    return orphaned


def _ignore_the_terminal() -> None:
    """Only the supervisor hears Ctrl-C; it ends the workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGBREAK"):
        signal.signal(signal.SIGBREAK, signal.SIG_IGN)
