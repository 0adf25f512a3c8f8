"""Where a NATS server is, and who asks it; importable without nats-py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from dtopipe.model.errors import DtopipeError

DEFAULT_PORT = 4222
SCHEMES = ("nats", "tls")
_HELP = "write nats://host:4222, or several with commas between them; tls:// for one that is encrypted"
_STREAM = re.compile(r"[^\s.*>/\\\x00-\x1f]{1,200}")
_HERE = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")


class BrokerOptionError(DtopipeError, ValueError):
    """An address, or who asks, that cannot be. `option`: which one."""

    def __init__(self, option: str, message: str, remedy: str) -> None:
        self.option = option
        super().__init__(message, remedy)


@dataclass(frozen=True, slots=True)
class Address:
    """Servers of one cluster, the stream of their log, and who asks. Raises BrokerOptionError for what cannot be.

    `endpoint`: `nats://host:4222`, or several with commas. `stream`: the log's name on the server. One of: `user` and
    `password`; `token`; `credentials`, the path of a `.creds` file; `nkey`, the path of a file with the seed of an
    NKey. `ca`, `certificate`, `key`: PEM files of an encrypted connection. `timeout_s`: how long an answer is
    waited for.
    """

    endpoint: str
    stream: str = "dtopipe"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials: str | None = None
    nkey: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name != "timeout_s" and not isinstance(getattr(self, each.name), str | None):
                # Never with what was given: it may be a password.
                raise BrokerOptionError(each.name, f"{each.name} must be text", "write it in quotes")
        self.servers()
        if not _STREAM.fullmatch(self.stream):
            raise BrokerOptionError(
                "stream", f"a stream cannot be called {self.stream!r}", "use letters, digits, - and _"
            )
        ways = [name for name in ("user", "token", "credentials", "nkey") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise BrokerOptionError(ways[1], f"{' and '.join(ways)} are different ways to say who asks", "give one")
        if (self.user is None) != (self.password is None):
            raise BrokerOptionError("user", "user and password belong together", "give both, or none of them")
        if (self.certificate is None) != (self.key is None):
            raise BrokerOptionError("certificate", "certificate and key belong together", "give both, or none of them")
        if self.timeout_s <= 0:
            raise BrokerOptionError("timeout_s", f"timeout_s cannot be {self.timeout_s:g}", "use 5, for example")

    def servers(self) -> list[str]:
        """Each server's URL, with its port."""
        found = []
        for each in self.endpoint.split(","):
            parts = _parts(each.strip())
            host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
            found.append(f"{parts.scheme}://{host}:{parts.port or DEFAULT_PORT}")
        return found

    def is_encrypted(self) -> bool:
        """True if a connection without encryption is none."""
        return self.ca is not None or self.certificate is not None or self.endpoint.startswith("tls://")

    def is_here(self) -> bool:
        """True if every server is on this machine."""
        return all(_HERE.fullmatch(str(urlsplit(each).hostname)) for each in self.servers())

    def target(self, subject: str = "") -> str:
        """What errors and records call it: no credentials."""
        where = f"{','.join(self.servers())}/{self.stream}"
        return f"{where}/{subject}" if subject else where

    def secrets(self) -> list[str]:
        """Every text that must not be shown."""
        return [secret for secret in (self.password, self.token) if secret]

    def files(self) -> dict[str, Path]:
        """The files that it names, by option."""
        names = ("credentials", "nkey", "ca", "certificate", "key")
        return {name: Path(getattr(self, name)).expanduser() for name in names if getattr(self, name) is not None}


def address_of(options: Mapping[str, Any]) -> Address:
    """The address that options of a sink or a board describe. Raises BrokerOptionError."""
    known = {each.name for each in fields(Address)}
    chosen = {name: value for name, value in options.items() if name in known and value is not None}
    if "endpoint" not in chosen:
        raise BrokerOptionError("endpoint", "it needs an endpoint", _HELP)
    return Address(**chosen)


def _parts(url: str) -> SplitResult:
    # Never with the text itself: a password may stand in it.
    if "@" in url:
        raise BrokerOptionError(
            "endpoint",
            "an endpoint has no user and no password in it",
            "give user: and password: (or credentials:, nkey:, token:) beside it, such as password: ${NATS_PASSWORD}",
        )
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        is_one = None
    if not is_one or parts.path.strip("/") or parts.query or parts.fragment:
        raise BrokerOptionError("endpoint", f"{url!r} is no server's address", _HELP)
    return parts
