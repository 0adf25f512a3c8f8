"""What the parts of a supervisor need of the world outside: narrow enough that a test gives them something smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from dtopipe.model.span import Gap
from dtopipe.wire.message_fields import TypedMessage
from dtopipe.wire.orders import WorkerOrders


class Process(Protocol):
    """A worker's process."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def is_alive(self) -> bool:
        """False once it has been reaped."""

    @property
    def has_ended_in_order(self) -> bool:
        """True of one that has ended, and by its own word had nothing to complain of."""

    @property
    def has_said_why(self) -> bool:
        """True of one that has ended, and sent its last words before, whether they were heard or not."""

    @property
    def exit_text(self) -> str:
        """How it ended, in words; empty while it lives."""

    def kill(self) -> None:
        """End it at once and reap it; harmless when it is dead."""

    def release(self) -> None:
        """Let go of a process that has ended."""


class Starter(Protocol):
    """Starts processes."""

    def start(self, name: str, module: str, orders: Callable[[Mapping[str, Any]], WorkerOrders]) -> Process:
        """A process of that name, of `python -m module`; `orders` are made of what every worker must know."""


class Post(Protocol):
    """The supervisor's end of the control plane."""

    def send(self, address: bytes, message: TypedMessage) -> None:
        """Never waits; a peer that has gone is no error."""


class Events(Protocol):
    """What happened, for the record."""

    def append(self, event: str, process: str = "", /, **details: Any) -> None:
        """Note that something happened to a process of the run, now."""

    def append_of(self, of: str, event: str, process: str = "", /, **details: Any) -> None:
        """The same of something that counts by itself, such as each limit of each channel."""


class GapLines(Protocol):
    """Every gap of a run, for the record."""

    def append(self, sink: str | None, gaps: Iterable[Gap]) -> list[Gap]:
        """Write those that are not there yet, and return them."""


class Whereabouts(Protocol):
    """Where others find a run."""

    def tell(self, **facts: Any) -> None:
        """How the run is called, and where its folder and its memory are."""


class Listeners(Protocol):
    """Programs that follow a run, by the locks that show that they live."""

    def is_listening(self, key: str) -> bool:
        """True if somebody holds the lock of this key."""

    def listens(self, key: str) -> bool:
        """False once nobody holds it any more."""

    def forget_subscriber(self, key: str) -> None:
        """Its lock is not needed any more."""


class Snapshots(Protocol):
    """How a run is now."""

    def snapshot(self) -> dict[str, Any]:
        """As `dtopipe status --json` prints it."""
