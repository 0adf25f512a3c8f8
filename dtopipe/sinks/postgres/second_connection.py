"""A second connection beside a Postgres writer's own: large commits go in two transactions side by side.

One process of the server takes about a million rows a second, and a machine has more than one core. Each transaction is
whole by itself, and the second one ends only after the first: what is committed is always a beginning of the run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.sinks.postgres.connection import PostgresConnection

# Values of a commit, all channels together: below, a second transaction costs more than it brings.
_LEAST_VALUES = 2**19

Work = Callable[[Any], Awaitable[None]]


def first_half(items: Sequence[Block | Gap | Readings]) -> int:
    """How many of `items` go into the first transaction; all of them where there is little to be written."""
    values = [item.codes.size if isinstance(item, Block) else 0 for item in items]
    half = sum(values) / 2
    if 2 * half < _LEAST_VALUES:
        return len(items)
    reached = 0
    for number, size in enumerate(values):
        reached += size
        if reached >= half:
            return number + 1
    return len(items)


class Companion:
    """The second connection of `server`, made when it is needed; the server may refuse it, and nothing is lost.

    It holds the advisory lock `key` as long as the server has it, so that the end of its last transaction can be told.
    """

    def __init__(self, server: PostgresConnection, key: int) -> None:
        self._server = server
        self._key = key
        self._own = server.companion()
        self._copying: Future[None] | None = None

    def begin(self, copy: Work) -> bool:
        """Begin a transaction with `copy`, and return at once; False where there is no second connection now."""
        try:
            if not self._own.is_connected:
                self._own.connect()
                self._own.lock(self._key)
                self._own.remember()
        except SinkError:
            self._own.drop()
            return False

        async def begun(connection: Any) -> None:
            await connection.execute("BEGIN")
            await copy(connection)

        self._copying = self._own.start(begun)
        return True

    def copied(self) -> None:
        """What was begun is copied, and waits for its commit. Raises SinkError; then it is given up."""
        copying, self._copying = self._copying, None
        if copying is not None:
            self._or_dropped(lambda: self._own.result(copying))

    def commit(self, mark: Work) -> None:
        """Let `mark` end the work, and commit. Raises SinkError; the transaction may have been done all the same."""

        async def ended(connection: Any) -> None:
            await mark(connection)
            await connection.execute("COMMIT")

        self._or_dropped(lambda: self._own.call(ended))

    def ensure_settled(self) -> None:
        """No former second connection, of us or of a predecessor, can commit any more. Raises OutputLocked."""
        self._own.drop()
        self._server.end_other(self._own.server_pid, self._key)
        self._server.ensure_free(self._key)

    def drop(self) -> None:
        """Give the connection up; the server rolls back what was begun. Never raises."""
        self._copying = None
        self._own.drop()

    def close(self) -> None:
        """End it. Never raises."""
        self._own.close()

    def _or_dropped(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            self.drop()
            raise
