"""Where a Postgres sink writes to, and how; importable without asyncpg."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dtopipe.model.errors import SinkOptionError
from dtopipe.model.identifiers import identifier

# NAMEDATALEN - 1 of every ordinary server.
MOST_NAME_BYTES = 63
_TLS_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_DSN_HELP = "write postgresql://user:password@host:5432/database, special characters of the password as %40"


@dataclass(frozen=True, slots=True)
class PostgresConfig:
    """Connection and tables of a Postgres sink. Raises SinkOptionError, a ValueError, for what cannot be.

    `dsn`: `postgresql://user@host:5432/database`; or `host`, `port`, `user`, `password`, `database` by themselves.
    What is absent comes from libpq's environment variables and password file. `schema` holds all tables; the names of
    those for readings and block summaries may be chosen. `create_tables`: make schema, tables and columns that are
    not there; else they must be. `use_copy`: binary COPY; else INSERT, for servers that forbid COPY.
    `statement_timeout_ms`: the server's own limit of a statement; `command_timeout_s`: how long an answer is waited
    for. `pool_max_size`: above 1, a large commit goes through a second connection as well; a sink has never more than
    two. `pool_min_size` is checked and has no effect.
    """

    dsn: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int = 5432
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    schema: str = "public"
    table_readings: str = "readings"
    table_blocks: str = "blocks"
    pool_min_size: int = 1
    pool_max_size: int = 4
    statement_timeout_ms: int = 30_000
    command_timeout_s: float = 10.0
    create_tables: bool = False
    use_copy: bool = True

    def __post_init__(self) -> None:
        for option in ("dsn", "host", "user", "password", "database", "schema"):
            if not isinstance(getattr(self, option), str | None):
                # Never with what was given: it may be a password.
                raise SinkOptionError(None, f"{option} must be text", "write it in quotes")
        if self.host is not None and ("@" in self.host or "://" in self.host):
            raise SinkOptionError(None, "host is no host's name", "a whole address goes into dsn")
        if self.dsn is None and self.host is None:
            raise SinkOptionError(None, "a Postgres sink needs either `dsn` or `host`", _DSN_HELP)
        if self.dsn is not None and self.host is not None:
            raise SinkOptionError(None, "`dsn` and `host` are mutually exclusive", "give one of them")
        if self.dsn is not None:
            self._parts()
        check_name("schema", self.schema)
        for option in ("table_readings", "table_blocks"):
            identifier(option, getattr(self, option))
        if not 1 <= self.pool_min_size <= self.pool_max_size:
            bounds = f"{self.pool_min_size} to {self.pool_max_size}"
            raise SinkOptionError(None, f"a pool of {bounds} connections cannot be", "1 <= min <= max")
        if self.statement_timeout_ms < 0:
            raise SinkOptionError(None, f"statement_timeout_ms cannot be {self.statement_timeout_ms}", "0 is no limit")
        if self.command_timeout_s <= 0:
            raise SinkOptionError(None, f"command_timeout_s cannot be {self.command_timeout_s}", "use 10, for example")

    def target(self) -> str:
        """Where it writes to, without credentials: `postgres://host:port/database.schema`."""
        host, port, database = self.host, self.port, self.database
        if self.dsn is not None:
            parts = self._parts()
            # In the query stand the folder of a Unix socket, and whatever else libpq knows.
            asked = dict(parse_qsl(parts.query))
            host = parts.hostname or asked.get("host")
            port = parts.port or int(asked.get("port") or self.port)
            database = parts.path.lstrip("/") or asked.get("dbname")
        return f"postgres://{host or 'localhost'}:{port}/{database or '?'}.{self.schema}"

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `asyncpg.connect`."""
        found: dict[str, Any] = {"user": self.user, "password": self.password, "database": self.database}
        found |= {"dsn": self.dsn} if self.dsn is not None else {"host": self.host, "port": self.port}
        return {key: value for key, value in found.items() if value is not None}

    def tls_files(self) -> dict[str, str]:
        """The files that an encrypted connection takes, by libpq's names: of the dsn, else of the environment."""
        asked = {} if self.dsn is None else dict(parse_qsl(self._parts().query))
        found = {name: asked.get(name) or os.environ.get(f"PG{name.upper()}", "") for name in _TLS_FILES}
        return {name: file for name, file in found.items() if file}

    def secrets(self) -> list[str]:
        """Every text that must not be shown."""
        found = [self.password, self.dsn]
        if self.dsn is not None:
            password = self._parts().password
            # As it is written, and as it is meant.
            found += [password, unquote(password)] if password else []
            found += [value for key, value in parse_qsl(self._parts().query) if "password" in key.lower()]
        return [secret for secret in found if secret]

    def _parts(self) -> SplitResult:
        # Never with the text itself, nor with the error that has it: a password may stand in it.
        with contextlib.suppress(ValueError):
            parts = urlsplit(self.dsn or "")
            # What cannot be a port is a ValueError.
            known = parts.scheme in ("postgres", "postgresql") and parts.port != 0
            # Behind a second @, or one that comes late, stands a piece of a password with an @ / ? or # in it.
            port = dict(parse_qsl(parts.query)).get("port", "1")
            is_split = parts.netloc.count("@") <= 1 and "@" not in parts.path + parts.query and not parts.fragment
            if known and is_split and port.isdecimal():
                return parts
        raise SinkOptionError(None, "the dsn cannot be read", _DSN_HELP) from None


def check_name(what: str, name: str) -> None:
    """Raise SinkOptionError for a name that Postgres cannot hold; quoted, any other may be."""
    if not name or "\0" in name or name != name.encode(errors="replace").decode():
        raise SinkOptionError(None, f"{what} cannot be {name!r}", "choose a name of letters and digits")
    if len(name.encode(errors="replace")) > MOST_NAME_BYTES:
        raise SinkOptionError(
            None, f"{what} {name!r} has more than {MOST_NAME_BYTES} bytes, which Postgres would cut", "shorten it"
        )
    if what == "schema" and name.lower().startswith("pg_"):
        raise SinkOptionError(None, f"schema {name!r}: names in pg_ are the server's own", "set another schema")
