"""A connection to a Postgres server for one writer: calls from any thread, errors with a way out, no credentials.

asyncpg lives in an event loop of its own thread, so that the connection notices its end also between two calls.

Behind a pooler (PgBouncer) in transaction mode every transaction may be another process of the server. So nothing is
left with a session that a later transaction needs: statements have no names, and where a pooler is found, settings and
the lock are taken anew in each transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from importlib import import_module
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
from anyio.from_thread import BlockingPortal, start_blocking_portal

from dtopipe.model.errors import OutputLocked, SinkDependencyError, SinkError, SinkUnavailable
from dtopipe.sinks.postgres.config import PostgresConfig
from dtopipe.sinks.postgres.tls import (
    Refusal,
    refusal_of_files,
    refusal_of_handshake,
    refusal_of_settings,
    refusal_of_silence,
    remedy_of_refused_user,
)

_T = TypeVar("_T")
_LOOK_EVERY_S = 0.5
# How soon a server drops the connection, and with it the lock, of a client whose machine is gone; a
# server that does not know one of these settings goes without it.
_SETTINGS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "5s",
    "idle_in_transaction_session_timeout": "5min",
    # What is committed survives the death of the server, whatever its configuration says.
    "synchronous_commit": "on",
    "client_encoding": "UTF8",
}
# What PgBouncer says to BEGIN in that mode.
_STATEMENT_POOLING = "not allowed in statement pooling mode"
# What of them a transaction may set for itself, on every server.
_POOLED_SETTINGS = {name: _SETTINGS[name] for name in ("idle_in_transaction_session_timeout", "synchronous_commit")}
# By the beginning of SQLSTATE: what it means here, and the way out.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TEMPORARY = {
    "08": ("the connection is lost", "see whether the server runs and can be reached"),
    "53100": ("the server's disk is full", "free some space there; what is committed is safe"),
    "53": ("the server has no resources left", "see its log; fewer connections may help"),
    "57P": ("the server is being shut down or started", "it is tried again"),
    "57014": ("the server took too long", "see what it is busy with, or raise statement_timeout_ms"),
    "58": ("the server's disk does not answer as it should", "see its log"),
    "25006": ("the server is read-only", "see whether it is a standby, or default_transaction_read_only is set"),
    "25P03": ("the server ended an idle transaction", "it is tried again"),
    "40": ("the server rolled back", "it is tried again"),
    "55P03": ("another program holds the table", "end its transaction"),
    "XX": ("the server had an inner error", "see its log"),
}
_FINAL = {
    "28": ("the server refuses this user", "see user and password, and the server's pg_hba.conf"),
    "3D000": ("there is no such database", "create it, or name another one"),
    "42501": ("this user has no permission", "grant it, or let somebody else create the tables"),
    "0A000": ("the server cannot do this", "set use_copy: false if it is COPY"),
}


def advisory_key(*words: str) -> int:
    """A signed 64-bit key for the server's advisory locks."""
    return int.from_bytes(hashlib.sha256("\0".join(("dtopipe", *words)).encode()).digest()[:8], "big", signed=True)


class PostgresConnection:
    """One connection, made again by `connect`. Raises SinkUnavailable where another try may succeed, else SinkError."""

    def __init__(self, config: PostgresConfig, home: PostgresConnection | None = None) -> None:
        """`home`: a connection in whose thread this one lives; None: it has a thread of its own."""
        self.config = config
        self.target = config.target()
        self._asyncpg = _asyncpg()
        self._stack = contextlib.ExitStack()
        self._portal: BlockingPortal | None = None
        self._home = home
        self._connection: Any = None
        self._server_pid = 0
        # Another process than the one that greeted us does the work: the session is not ours.
        self._is_pooled = False
        self._pooled_key: int | None = None
        # Nothing was heard of the server by the present connection yet.
        self._is_new = False

    def companion(self) -> PostgresConnection:
        """Another connection, not made yet, in the thread of this one, whose `close` ends both."""
        return PostgresConnection(self.config, self)

    @property
    def server_pid(self) -> int:
        """The server's process of the connection that was noted by `remember`; 0 before."""
        return self._server_pid

    @property
    def is_pooled(self) -> bool:
        """True if a pooler stands between: the server's processes are others' too."""
        return self._is_pooled

    @property
    def is_connected(self) -> bool:
        """False before `connect`, and once the connection is known to be lost."""
        return self._connection is not None and not self._connection.is_closed()

    def connect(self) -> None:
        """A fresh connection, with settings of our own; a former one is dropped."""
        self.drop()
        refusal = refusal_of_files(self.config.tls_files())
        if refusal is not None:
            raise self._refused(refusal)
        self._portal = self.thread()
        self._is_new = True
        with self.explained():
            self._portal.call(self._connect)
        self._is_new = False

    def thread(self) -> BlockingPortal:
        """Where the connection lives, begun when it is needed."""
        if self._home is not None:
            return self._home.thread()
        return self._portal or self._stack.enter_context(start_blocking_portal("asyncio"))

    def lock(self, key: int) -> None:
        """Hold this advisory lock as long as the connection lasts. Raises OutputLocked.

        Behind a pooler it is held by each transaction, which waits for another one that has it.
        """
        if self._is_pooled:
            self._pooled_key = key
            return
        if not self.call(lambda connection: connection.fetchval("SELECT pg_try_advisory_lock($1)", key)):
            raise OutputLocked(
                self.target, "another process writes this run there", "wait until it ends, or end its connection"
            )

    def ensure_free(self, key: int) -> None:
        """It makes sure that this advisory lock is free; behind a pooler it could not be held. Raises OutputLocked."""
        if self._is_pooled:
            return
        self.lock(key)
        self.call(lambda connection: connection.execute("SELECT pg_advisory_unlock($1)", key))

    def end_former(self, key: int) -> None:
        """End our former connection, should the server not know yet that it is lost: it holds the lock `key`."""
        self.end_other(self._server_pid, key)

    def end_other(self, pid: int, key: int) -> None:
        """End the server's process `pid` if it holds the lock `key`; 0 is none, and a pooler's is others' too."""
        if not pid or self._is_pooled:
            return
        high, low = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
        self.call(
            lambda connection: connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1"
                " AND classid::bigint = $2 AND objid::bigint = $3 AND pid <> pg_backend_pid()",
                pid, high, low,
            )
        )  # fmt: skip

    def remember(self) -> None:
        """Note which process of the server serves this connection, for `end_former` of the next one."""
        self._server_pid = self._connection.get_server_pid()

    def call(self, work: Callable[[Any], Awaitable[_T]]) -> _T:
        """The result of `work(connection)`, run in the connection's own thread."""
        return self.result(self.start(work))

    def start(self, work: Callable[[Any], Awaitable[_T]]) -> Future[_T]:
        """Begin `work(connection)` and return at once; see `result`."""
        portal = self._portal
        if portal is None or not self.is_connected:
            raise SinkUnavailable(self.target, "the connection is lost", "see whether the server runs")
        return portal.start_task_soon(self._bounded, work)

    def result(self, started: Future[_T]) -> _T:
        """Wait for what `start` began."""
        with self.explained():
            return started.result()

    def transaction(self, work: Callable[[Any], Awaitable[_T]]) -> _T:
        """The same, whole or not at all."""

        async def whole(connection: Any) -> _T:
            await connection.execute("BEGIN")
            try:
                await self._settle_in(connection)
                result = await work(connection)
                await connection.execute("COMMIT")
            except (self._asyncpg.PostgresError, SinkError):
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
            except BaseException:
                # In the middle of something: the server rolls back once the connection ends.
                connection.terminate()
                raise
            return result

        return self.call(whole)

    def begin(self, mode: str) -> None:
        """Begin a transaction of this mode, which lasts as long as the connection; what is set is set in it alone."""

        async def begun(connection: Any) -> None:
            await connection.execute(f"BEGIN {mode}")
            await self._settle_in(connection)
            await connection.execute("SET LOCAL statement_timeout = 0")

        self.call(begun)

    async def _settle_in(self, connection: Any) -> None:
        """It sets in a pooler's transaction what the session of a connection of our own has once for all."""
        if not self._is_pooled:
            return
        settings = {**_POOLED_SETTINGS, "statement_timeout": str(self.config.statement_timeout_ms)}
        await connection.execute("; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items()))
        if self._pooled_key is not None:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", self._pooled_key)

    def drop(self) -> None:
        """Forget the connection, without a word to the server. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None and self._portal is not None:
            with contextlib.suppress(Exception):
                self._portal.call(_terminate, connection)

    def close(self) -> None:
        """End the connection, and the thread. Never raises."""
        connection = self._connection
        if connection is not None and self._portal is not None and not connection.is_closed():
            with contextlib.suppress(Exception):
                self._portal.call(lambda: connection.close(timeout=self.config.command_timeout_s))
        self.drop()
        self._portal = None
        with contextlib.suppress(Exception):
            self._stack.close()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """An error of asyncpg or of the network becomes one of ours; one that lost the connection drops it."""
        try:
            yield
        except SinkError:
            raise
        except self._refusals() as error:
            if not isinstance(error, self._asyncpg.PostgresError) or self._connection is None:
                self.drop()
            explained = self._explained(error)
            # The error itself may hold the dsn; the server's own words do not.
            raise explained from (error if isinstance(error, self._asyncpg.PostgresError) else None)

    def _refusals(self) -> tuple[type[Exception], ...]:
        """What asyncpg and the network raise; InternalClientError where the connection ends between two steps."""
        asyncpg = self._asyncpg
        own = asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
        return (*own, OSError, TimeoutError, ValueError)

    def _explained(self, error: Exception) -> SinkError:
        refusal = refusal_of_handshake(error)
        if refusal is not None:
            return self._refused(refusal)
        if isinstance(error, TimeoutError):
            return SinkUnavailable(self.target, "the server does not answer", "see whether it runs and can be reached")
        if isinstance(error, OSError):
            what = self._clean(error.strerror or str(error))
            return SinkUnavailable(
                self.target, f"the server cannot be reached ({what})", "see whether it runs, and host and port"
            )
        if _STATEMENT_POOLING in str(error):
            return SinkError(
                self.target,
                "a pooler gives each statement to another process of the server, so that no transaction is possible",
                "set pool_mode = transaction for this database, or name the server itself",
            )
        state = getattr(error, "sqlstate", None)
        if state is None:
            if isinstance(error, self._asyncpg.ClientConfigurationError):
                refusal = refusal_of_settings(self._clean(str(error)))
                if refusal is not None:
                    return self._refused(refusal)
                return SinkError(self.target, "the connection's settings cannot be", "see dsn, host, user and database")
            return SinkUnavailable(
                self.target, f"the connection is lost ({self._clean(str(error))})", "see whether the server runs"
            )
        silence = refusal_of_silence(self.config.tls_files()) if state[:2] == "08" and self._is_new else None
        if silence is not None:
            return self._refused(silence)
        said = f"(Postgres: {self._clean(str(error))})"
        for known, kind in ((_TEMPORARY, SinkUnavailable), (_FINAL, SinkError)):
            for begin in (state, state[:3], state[:2]):
                if begin in known:
                    message, remedy = known[begin]
                    if begin == "28":
                        remedy = remedy_of_refused_user(said) or remedy
                    return kind(self.target, f"{message} {said}", remedy)
        return SinkError(self.target, f"Postgres refuses {said}", "see what it says")

    def _refused(self, refusal: Refusal) -> SinkError:
        kind = SinkError if refusal.is_final else SinkUnavailable
        return kind(self.target, self._clean(refusal.message), refusal.remedy)

    def _clean(self, text: str) -> str:
        for secret in self.config.secrets():
            text = text.replace(secret, "***")
        return text.strip().splitlines()[0] if text.strip() else ""

    async def _connect(self) -> None:
        config = self.config
        with anyio.fail_after(config.command_timeout_s):
            connection = await self._asyncpg.connect(
                **config.arguments(),
                timeout=config.command_timeout_s,
                command_timeout=config.command_timeout_s,
                # A pooler refuses settings that it does not know, and names of statements are its other clients' too.
                server_settings={"application_name": "dtopipe"},
                statement_cache_size=0,
            )
            self._connection = connection
            self._is_pooled = await _is_pooled(connection)
            if not self._is_pooled:
                await self._set_each(connection)

    async def _set_each(self, connection: Any) -> None:
        for name, value in {**_SETTINGS, "statement_timeout": str(self.config.statement_timeout_ms)}.items():
            with contextlib.suppress(self._asyncpg.PostgresError):
                await connection.execute(
                    "SELECT set_config(name, $2, false) FROM pg_settings"
                    " WHERE name = $1 AND (name NOT LIKE 'tcp%' OR inet_client_addr() IS NOT NULL)",
                    name, value,
                )  # fmt: skip

    async def _bounded(self, work: Callable[[Any], Awaitable[_T]]) -> _T:
        """Not for ever: asyncpg may go on waiting for a connection that is lost, or a server that is gone."""
        connection = self._connection
        asyncio.get_running_loop().set_exception_handler(_note)
        task = asyncio.ensure_future(work(connection))
        lost = False
        while True:
            done, _ = await asyncio.wait({task}, timeout=_LOOK_EVERY_S)
            if done:
                break
            if lost:
                task.cancel()
                await asyncio.wait({task}, timeout=_LOOK_EVERY_S)
                raise ConnectionError("it ended in the middle of a command")
            lost = connection.is_closed()
        try:
            return task.result()
        except (TimeoutError, asyncio.CancelledError):
            connection.terminate()
            raise


async def _is_pooled(connection: Any) -> bool:
    """True if another process works than the one whose number was told at the beginning, which a pooler makes up.

    In a transaction: outside of one, a pooler could give each message of a query to another process.
    """
    await connection.execute("BEGIN")
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    await connection.execute("ROLLBACK")
    return bool(pid != connection.get_server_pid())


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody waits for any more, after the connection was lost."""
    logging.getLogger("dtopipe.sinks").debug("asyncpg: %s", context.get("message"))


async def _terminate(connection: Any) -> None:
    connection.terminate()
    # The socket is closed in the loop's next turn.
    await anyio.lowlevel.checkpoint()


def _asyncpg() -> Any:
    try:
        return import_module("asyncpg")
    except ImportError as error:
        raise SinkDependencyError(
            None, "a Postgres sink needs asyncpg, which is not installed", 'pip install "dtopipe[postgres]"'
        ) from error
