"""Passwords that stand in a topology stay out of every record of its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.model.sink_types import Server
from dtopipe.sinks.registry import known_sink_type

SECRET_KEYS = ("dsn", "password", "passwd", "secret", "token")
# user:password@ of a URL; and what a query of one may say.
_IN_URL = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://(?:\$\{[^}]*\}|[^/?#@:])*)(?P<colon>:)(?P<secret>\S+)(?=@)")
_IN_QUERY = re.compile(r"(?P<before>[?&](?:ssl)?password)(?P<colon>=)(?P<secret>[^&]+)", re.IGNORECASE)
_ONE_VARIABLE = re.compile(r"\$\{[^{}:]+\}")
_VARIABLE = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True)
class _Password:
    """The variable that stands for a password; `is_looked_for`: by the clients of the server themselves."""

    variable: str
    is_looked_for: bool = False


def without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same topology with a variable in the place of each password that is written out.

    It is the one in which the server's own clients look for it, as `${PGPASSWORD}`; another's is named after its part.
    """
    found = dict(document)
    for group in ("board", "listen", "on"):
        if isinstance(found.get(group), dict):
            found[group] = _part(found[group], group)
    if isinstance(found.get("sinks"), dict):
        found["sinks"] = {
            name: _part(sink, str(name), known_sink_type(sink.get("type")).server) if isinstance(sink, dict) else sink
            for name, sink in found["sinks"].items()
        }
    return found


def _part(part: Mapping[str, Any], name: str, server: Server | None = None) -> dict[str, Any]:
    own = f"{_VARIABLE.sub('_', name.upper()).strip('_')}_PASSWORD"
    found = _Password(f"${{{own}}}")
    if server is not None:
        found = _Password(server.password_variable, is_looked_for=server.is_looked_for)
    return {key: _value(key, value, found) for key, value in part.items()}


def _value(key: str, value: Any, password: _Password) -> Any:
    if isinstance(value, dict):
        return {name: _value(name, item, password) for name, item in value.items()}
    if key in SECRET_KEYS and key != "dsn" and value is not None:
        return value if isinstance(value, str) and _is_variable(value) else password.variable
    if isinstance(value, list):
        return [_value(key, item, password) for item in value]
    if not isinstance(value, str):
        return value

    def hidden(at: re.Match[str]) -> str:
        if _is_variable(at["secret"]):
            return at[0]
        # One that clients look for is read anyway, and need not be spelled as a URL wants it.
        is_needless = at["colon"] == ":" and password.is_looked_for
        return at["before"] if is_needless else at["before"] + at["colon"] + password.variable

    for pattern in (_IN_URL, _IN_QUERY):
        value = pattern.sub(hidden, value)
    return value


def _is_variable(text: str) -> bool:
    return _ONE_VARIABLE.fullmatch(text) is not None
