"""A connection to a NATS server: calls from any thread, errors with a way out, no credentials.

nats-py lives in an event loop of its own thread, so that the connection notices its end also between two calls. It is
not left to nats-py to connect again: who uses it decides what has to be looked at first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from dtopipe.broker.address import Address
from dtopipe.broker.errors import BrokerError, explained

_T = TypeVar("_T")
_CONNECT_S = 2
_PING_EVERY_S, _PINGS = 5, 2
_CLOSE_S = 2.0
# Beyond this nats-py writes before it takes more, so that the server works while the next messages are made.
_PENDING_BYTES = 2**20
_log = logging.getLogger("dtopipe.broker")


class BrokerConnection:
    """One connection, made again by `connect`. Raises BrokerError."""

    def __init__(self, address: Address, name: str = "dtopipe") -> None:
        """`name`: what the server's list of connections calls it."""
        self.address = address
        self.target = address.target()
        self._name = name
        self._stack = contextlib.ExitStack()
        self._portal: BlockingPortal | None = None
        self._client: Any = None
        self._js: Any = None
        # What the server said besides answers: that a permission is absent, for one.
        self._said: BrokerError | None = None

    @property
    def is_connected(self) -> bool:
        """False before `connect`, and once the connection is known to be lost."""
        return self._client is not None and bool(self._client.is_connected)

    @property
    def most_payload(self) -> int:
        """Bytes, headers included, that the server takes in one message."""
        return int(self._client.max_payload)

    @property
    def client(self) -> Any:
        """The client of nats-py, for use within `call`. Raises BrokerError while there is no connection."""
        if not self.is_connected:
            raise self._lost()
        return self._client

    @property
    def js(self) -> Any:
        """The JetStream context, for use within `call`. Raises BrokerError while there is no connection."""
        if not self.is_connected:
            raise self._lost()
        return self._js

    def connect(self) -> None:
        """A fresh connection; a former one is dropped."""
        self.drop()
        _nats()
        self._ensure_files()
        if self._portal is None:
            self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self.call(self._connect)

    def call(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """The result of `work()`, run in the connection's own thread."""
        return self.result(self.start(work))

    def start(self, work: Callable[[], Awaitable[_T]]) -> Future[_T]:
        """Begin `work()` and return at once; see `result`."""
        if self._portal is None:
            raise self._lost()
        return self._portal.start_task_soon(work)

    def result(self, started: Future[_T], timeout_s: float | None = None) -> _T:
        """Wait for what `start` began. Raises TimeoutError if it is not there by then, and goes on."""
        if timeout_s is not None and not started.done():
            with contextlib.suppress(TimeoutError):
                started.exception(timeout_s)
            if not started.done():
                raise TimeoutError
        try:
            return started.result()
        except BrokerError:
            raise
        except Exception as error:
            said, self._said = self._said, None
            found = explained(self.target, error, self.address.secrets())
            # A message that may not be sent is never answered.
            raise (said if said is not None and said.is_final else found) from None

    def drop(self) -> None:
        """Forget the connection. Never raises."""
        client, self._client, self._js = self._client, None, None
        self._said = None
        if client is not None and self._portal is not None:
            with contextlib.suppress(Exception):
                self._portal.call(_ended, client)

    def close(self) -> None:
        """End the connection, and the thread. Never raises."""
        self.drop()
        self._portal = None
        with contextlib.suppress(Exception):
            self._stack.close()

    def _lost(self) -> BrokerError:
        return BrokerError(self.target, "the connection is lost", "see whether the server runs")

    def _ensure_files(self) -> None:
        for option, path in self.address.files().items():
            try:
                with path.open("rb") as file:
                    file.read(1)
            except OSError as error:
                what = f"{option} {path} cannot be read ({error.strerror})"
                raise BrokerError(self.target, what, f"name another file with {option}:", is_final=True) from None

    async def _connect(self) -> None:
        asyncio.get_running_loop().set_exception_handler(_note)
        problem: Exception | None = None
        for server in self.address.servers():
            client = _client(self.address)
            try:
                await asyncio.wait_for(client.connect(server, **self._arguments()), 2 * _CONNECT_S + 1)
            except Exception as error:
                problem = problem or self._said or error
                await _ended(client)
                continue
            self._client = client
            self._js = client.jetstream(timeout=self.address.timeout_s, publish_async_max_pending=2**16)
            self._said = None
            return
        self._said = None
        if problem is not None:
            raise problem

    def _arguments(self) -> dict[str, Any]:
        address = self.address
        files = {option: str(path) for option, path in address.files().items()}
        who = {
            "user": address.user,
            "password": address.password,
            "token": address.token,
            "user_credentials": files.get("credentials"),
            "nkeys_seed": files.get("nkey"),
        }
        return {
            **{name: value for name, value in who.items() if value is not None},
            **({"tls": self._tls(files)} if address.is_encrypted() else {}),
            "name": self._name,
            "allow_reconnect": False,
            # A server that is not there is tried once here, and again by who waits for it.
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": _CONNECT_S,
            "ping_interval": _PING_EVERY_S,
            "max_outstanding_pings": _PINGS,
            "pending_size": _PENDING_BYTES,
            # Whoever asks who else is there is not to hear itself.
            "no_echo": True,
            "error_cb": self._hear,
        }

    def _tls(self, files: dict[str, str]) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=files.get("ca"))
            if "certificate" in files:
                context.load_cert_chain(files["certificate"], files["key"])
        except (ssl.SSLError, OSError):
            what = "ca, certificate or key is no PEM file, or the key is another certificate's"
            raise BrokerError(self.target, what, "name the right ones", is_final=True) from None
        return context

    async def _hear(self, error: Exception) -> None:
        found = explained(self.target, error, self.address.secrets())
        _log.debug("%s", found.headline)
        if self._said is None or found.is_final:
            self._said = found


async def _ended(client: Any) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.close(), _CLOSE_S)


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody waits for any more, after the connection was lost."""
    _log.debug("nats-py: %s", context.get("message"))


def _client(address: Address) -> Any:
    """A client that says who asks over an encrypted connection, or not at all, where encryption is wanted.

    nats-py takes the server's word for whether there is encryption: of one that says there is none it tells user and
    password to whoever listens.
    """
    plain: Any = _nats().NATS
    if not address.is_encrypted():
        return plain()

    class Encrypted(plain):  # type: ignore[misc]
        def _connect_command(self) -> bytes:
            if not self._server_info.get("tls_required"):
                what = "the server does not encrypt, and this connection is to be encrypted: nothing was told to it"
                raise BrokerError(
                    address.target(), what, "let the server have tls: {...}, or write nats://", is_final=True
                )
            told: bytes = super()._connect_command()
            return told

    return Encrypted()


def _nats() -> Any:
    try:
        return import_module("nats")
    except ImportError:
        raise BrokerError(
            "nats", "nats-py is needed for this, and is not installed", 'pip install "dtopipe[nats]"', is_final=True
        ) from None
