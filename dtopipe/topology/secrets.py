"""Passwords that stand in a topology stay out of every record of its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SECRET_KEYS = ("dsn", "password", "passwd", "secret", "token")
# user:password@ of a URL; and what a query of one may say.
_IN_URL = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://(?:\$\{[^}]*\}|[^/?#@:])*)(?P<colon>:)(?P<secret>\S+)(?=@)")
_IN_QUERY = re.compile(r"(?P<before>[?&](?:ssl)?password)(?P<colon>=)(?P<secret>[^&]+)", re.IGNORECASE)
_OF_LIBPQ = "${PGPASSWORD}"
_ONE_VARIABLE = re.compile(r"\$\{[^{}:]+\}")
_VARIABLE = re.compile(r"[^A-Z0-9]+")


def without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same topology with a variable in the place of each password that is written out.

    A Postgres sink's is `${PGPASSWORD}`, as libpq has it; another's is named after its part.
    """
    found = dict(document)
    for group in ("board", "listen"):
        if isinstance(found.get(group), dict):
            found[group] = _part(found[group], group)
    if isinstance(found.get("sinks"), dict):
        found["sinks"] = {
            name: _part(sink, str(name)) if isinstance(sink, dict) else sink for name, sink in found["sinks"].items()
        }
    return found


def _part(part: Mapping[str, Any], name: str) -> dict[str, Any]:
    own = f"{_VARIABLE.sub('_', name.upper()).strip('_')}_PASSWORD"
    variable = _OF_LIBPQ if part.get("type") == "postgres" else f"${{{own}}}"
    return {key: _value(key, value, variable) for key, value in part.items()}


def _value(key: str, value: Any, variable: str) -> Any:
    if isinstance(value, dict):
        return {name: _value(name, item, variable) for name, item in value.items()}
    if key in SECRET_KEYS and key != "dsn" and value is not None:
        return value if isinstance(value, str) and _is_variable(value) else variable
    if isinstance(value, list):
        return [_value(key, item, variable) for item in value]
    if not isinstance(value, str):
        return value

    def hidden(at: re.Match[str]) -> str:
        if _is_variable(at["secret"]):
            return at[0]
        # libpq's own variable is read anyway, and need not be spelled as a URL wants it.
        return at["before"] if at["colon"] == ":" and variable == _OF_LIBPQ else at["before"] + at["colon"] + variable

    for pattern in (_IN_URL, _IN_QUERY):
        value = pattern.sub(hidden, value)
    return value


def _is_variable(text: str) -> bool:
    return _ONE_VARIABLE.fullmatch(text) is not None
