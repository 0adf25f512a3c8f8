"""A Postgres server as topologies, records and fault tests speak of it; importable without asyncpg."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dtopipe.model.errors import DtopipeError
from dtopipe.sinks.postgres.config import PostgresConfig

_ONE_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_HERE = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1|/.*", re.DOTALL)
# What a DSN may say besides without naming a server or a file.
_HARMLESS = {"port", "dbname", "user", "sslmode", "application_name"}


def config_of(options: Mapping[str, Any], name: str) -> PostgresConfig:
    """The connection that these options describe, for a topology of this name. Raises SinkOptionError."""
    known = {field.name for field in fields(PostgresConfig)}
    chosen = {key: value for key, value in options.items() if key in known}
    return PostgresConfig(**{**chosen, "schema": chosen.get("schema") or name})


def completed(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The options of a sink, whose schema is named after the topology unless it is set."""
    return {**options, "schema": options.get("schema") or name}


def target(options: Mapping[str, Any], name: str) -> str:
    """Where it writes to, without credentials. Raises SinkOptionError."""
    return config_of(options, name).target()


def is_own(part: Mapping[str, Any], resolved: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> bool:
    """True if this part of a topology means a server here, or the one of a variable, as `dsn: ${PG_DSN}`."""
    dsn, host = part.get("dsn"), part.get("host")
    if not all(isinstance(each, str | None) for each in (dsn, host)):
        return False
    if any(_ONE_VARIABLE.fullmatch(each or "") for each in (dsn, host)):
        return True
    told = resolved({"dsn": dsn, "host": host})
    hosts = str(told["host"] or "").split(",") if dsn is None else _hosts_of(str(told["dsn"]))
    return hosts is not None and all(not each or _HERE.fullmatch(each) for each in hosts)


def _hosts_of(dsn: str) -> list[str] | None:
    """Every host of a DSN; None where it says more than this can tell."""
    try:
        parts = urlsplit(dsn)
        asked = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return None
    if parts.scheme not in ("postgres", "postgresql") or parts.fragment:
        return None
    found = []
    for each in parts.netloc.rpartition("@")[2].split(","):
        bracketed = re.fullmatch(r"\[([^\]]*)\](:\d*)?", each)
        found.append(bracketed[1] if bracketed else unquote(each.partition(":")[0]))
    for key, value in asked:
        if key in ("host", "hostaddr"):
            found += [each.partition(":")[0] if not each.startswith("/") else each for each in value.split(",")]
        elif key not in _HARMLESS:
            return None
    return found


def cutter(options: Mapping[str, Any], name: str) -> Callable[[], None]:
    """What ends every connection that dtopipe has to this database. Raises SinkOptionError."""
    config = config_of(options, name)
    from dtopipe.sinks.postgres.connection import PostgresConnection

    def cut() -> None:
        server = PostgresConnection(config)
        with contextlib.suppress(DtopipeError):
            server.connect()
            server.call(
                lambda c: c.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'dtopipe' AND pid <> pg_backend_pid()"
                    " AND datname = current_database()"
                )
            )
        server.close()

    return cut
