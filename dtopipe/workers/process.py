"""What every worker process does first: read its orders, show that it lives, find its supervisor."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from dtopipe.host.life_line import taken_from_input
from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.lock import LockHeld
from dtopipe.host.log_lines import LogLines
from dtopipe.host.runtime import RuntimeEntry
from dtopipe.model.errors import BoardError, DtopipeError, SinkError, WireError
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys
from dtopipe.wire.control import read_frame
from dtopipe.wire.messages import EXIT_AFTER_FAILED, Failed, Hello
from dtopipe.wire.orders import WorkerOrders
from dtopipe.wire.vocabulary import Vocabulary

O_co = TypeVar("O_co", bound=WorkerOrders, covariant=True)


@dataclass(frozen=True, slots=True)
class Worker(Generic[O_co]):
    """A worker process that is up: its orders, its folder, its line to the supervisor.

    `orphaned` is set once the supervisor is gone: nobody answers any more, the run must be ended in order.
    """

    name: str
    orders: O_co
    entry: RuntimeEntry
    life: LifeLocks
    keys: Keys
    control: ControlClient
    orphaned: threading.Event

    def fail(self, error: BaseException) -> None:
        """Tell the supervisor why this process ends. A DtopipeError is told as it is, a surprise with its type."""
        self.control.send(_last_words(error))


def _last_words(error: BaseException) -> Failed:
    name = type(error).__name__
    if isinstance(error, BoardError):
        return Failed(error.message, error.remedy, error=name, is_final=error.is_final)
    if isinstance(error, SinkError):
        return Failed(error.message, error.remedy, error.path or "", name)
    if isinstance(error, DtopipeError):
        return Failed(error.headline, error.remedy, error=name)
    return Failed(f"{name}: {error}", error=name)


def run_worker(main: Callable[[Worker[O_co]], None], orders_of: type[O_co]) -> int:
    """Set a worker process up, run `main`, and say how it went. Returns the exit code."""
    # A last search for garbage in all that was loaded takes a fifth of what a short-lived worker costs.
    atexit.register(gc.freeze)
    _ignore_the_terminal()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    orders = _read_orders(orders_of)
    name = orders.name
    entry = RuntimeEntry(Path(orders.entry))
    life = LifeLocks(Path(orders.run_folder))
    lock = life.lock(orders.lock)
    try:
        # A command that looks whether we live holds the lock for an instant.
        lock.acquire(timeout_s=5.0)
    except LockHeld:
        raise
    except OSError as error:
        # The disk of the run folder is away, or full: whoever comes for it then must be able to wait.
        logging.warning("%s: cannot show that it lives: %s", name, error)
    orphaned = _watch_life_line()
    keys = Keys(orders.public_key, orders.secret_key)
    control = ControlClient(orders.control, keys, orders.address, orphaned)
    worker = Worker(name, orders, entry, life, keys, control, orphaned)
    control.send(Hello(os.getpid()))
    logging.info("%s: started, pid %d", name, os.getpid())
    try:
        main(worker)
    except Exception as error:
        logging.exception("%s: failed", name)
        worker.fail(error)
        return EXIT_AFTER_FAILED
    finally:
        control.close()
    logging.info("%s: ended in order", name)
    return 0


def _read_orders(wanted: type[O_co]) -> O_co:
    """Raises WireError."""
    orders = Vocabulary[O_co](wanted).read(read_frame(sys.stdin.buffer))
    if orders is None:
        raise WireError("the first message holds no orders")
    return orders


def _watch_life_line() -> threading.Event:
    """Set once the pipe from the supervisor closes, which its death does on every system."""
    orphaned, line = threading.Event(), taken_from_input()

    def watch() -> None:
        while os.read(line, 1):
            pass
        orphaned.set()

    threading.Thread(target=watch, name="life line", daemon=True).start()
    return orphaned


def _ignore_the_terminal() -> None:
    """Only the supervisor hears Ctrl-C; it ends the workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGBREAK"):
        signal.signal(signal.SIGBREAK, signal.SIG_IGN)
