"""A stranger's document, looked at value by value before anything is made of it.

What a file or a message says is taken for what it should be only once its type and its range were seen here; what is
wrong is named by the path of its key. Keys that nobody asks for are passed over: a later version may have more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

# Two of them can be added up in 64 bits; 2**62 ns since 1970 is the year 2116.
MOST_COUNT = 2**62
_MOST_TEXT = 2**20
# Ours are ten deep: a topology in a record, with a calibration in it.
_MOST_DEPTH = 40
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_YEARS = range(1970, 2116)
_REQUIRED: Any = object()


class Misfit(ValueError):
    """A value that is not what it should be. `key`: its path, `message`: what is wrong, without the value itself."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        self.message = message
        super().__init__(f"{key}: {message}" if key else message)


def parsed(text: str | bytes) -> Any:
    """The value of this JSON text; NaN and infinities, which JSON does not have, are null. Raises ValueError."""
    try:
        document = json.loads(text, parse_constant=lambda word: None, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    ensure_plain(document)
    return document


def finite(document: Any) -> Any:
    """The same document as JSON can hold it: null for a number that is none, its name where it is a key."""
    if isinstance(document, dict):
        return {str(key) if _is_none(key) else key: finite(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [finite(value) for value in document]
    return None if _is_none(document) else document


def _is_none(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def strict_json(document: Any, *, ensure_ascii: bool = False) -> str:
    """The document as JSON that every program reads: NaN and infinities are null."""
    return json.dumps(finite(document), ensure_ascii=ensure_ascii, default=str, allow_nan=False)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def ensure_plain(document: Any) -> None:
    """Raises ValueError unless it can be written as JSON, and is no deeper than what may be walked by recursion."""
    level = [document]
    for _ in range(_MOST_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _ensure_text(value)
            elif isinstance(value, (list, tuple)):
                below += value
            elif isinstance(value, dict):
                if not all(isinstance(key, str) for key in value):
                    raise ValueError("a key is not a text")
                below += value.keys()
                below += value.values()
            elif not isinstance(value, (int, float, type(None))):
                raise ValueError(f"it has {type(value).__name__}")
        if not below:
            return
        level = below
    raise ValueError("it is nested too deeply")


def _ensure_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it has half of a character") from None


class Facts:
    """One mapping of such a document. Each method gives a value of the type that it names, or raises Misfit."""

    def __init__(self, document: Any, key: str = "") -> None:
        if not isinstance(document, dict):
            raise Misfit(key, f"must be a mapping, not {_kind(document)}")
        self._document = document
        self._key = key

    def path(self, name: str) -> str:
        """Where this key is in the whole."""
        return f"{self._key}.{name}" if self._key else name

    def has(self, name: str) -> bool:
        """False where it is absent, or null."""
        return self._document.get(name) is not None

    def names(self) -> list[str]:
        """Every key; in a message they may be anything."""
        for name in self._document:
            if not isinstance(name, str):
                raise Misfit(self._key, f"a key is {_kind(name)}, not a text")
        return list(self._document)

    def any(self, name: str, default: Any = _REQUIRED) -> Any:
        """The value, whatever it is."""
        if name in self._document:
            return self._document[name]
        if default is _REQUIRED:
            raise self.misfit(name, "is absent")
        return default

    def text(self, name: str, default: Any = _REQUIRED, *, most: int = _MOST_TEXT) -> str:
        """A text of at most so many characters."""
        value = self.any(name, default)
        if not isinstance(value, str):
            raise self.misfit(name, f"must be a text, not {_kind(value)}")
        if len(value) > most:
            raise self.misfit(name, f"is {len(value)} characters long, at most {most} are read")
        return value

    def count(self, name: str, default: Any = _REQUIRED, *, least: int = 0, most: int = MOST_COUNT) -> int:
        """A whole number."""
        value = self.any(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.misfit(name, f"must be a whole number, not {_kind(value)}")
        if not least <= value <= most:
            raise self.misfit(name, f"must lie between {least} and {most}")
        return value

    def number(self, name: str, default: Any = _REQUIRED, *, above: float = -math.inf, most: float = math.inf) -> float:
        """A finite number."""
        value = self.any(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.misfit(name, f"must be a number, not {_kind(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not (math.isfinite(number) and above < number <= most):
            raise self.misfit(name, "is no number that it can be")
        return number

    def truth(self, name: str, default: Any = _REQUIRED) -> bool:
        """True or false."""
        value = self.any(name, default)
        if not isinstance(value, bool):
            raise self.misfit(name, f"must be true or false, not {_kind(value)}")
        return value

    def time(self, name: str) -> str:
        """An ISO 8601 time, as text."""
        value = self.text(name)
        found = _TIME.fullmatch(value)
        try:
            if found and datetime.fromisoformat(found[1] + (found[2] or "Z")).year in _YEARS:
                return value
        except ValueError:
            pass
        raise self.misfit(name, "must be a time such as 2026-11-22T23:41:00Z")

    def choice(self, name: str, choices: Iterator[str] | tuple[str, ...] | list[str]) -> str:
        """One of these words."""
        value, known = self.text(name), list(choices)
        if value not in known:
            raise self.misfit(name, f"must be one of {', '.join(known)}")
        return value

    def part(self, name: str) -> Facts:
        """A mapping in it."""
        return Facts(self.any(name), self.path(name))

    def parts(self) -> Iterator[tuple[str, Facts]]:
        """Every value of it, all of which are mappings."""
        for name in self.names():
            yield name, self.part(name)

    def plain(self, name: str) -> None:
        """A mapping that is only kept, whatever is in it, or none."""
        try:
            ensure_plain(Facts(self.any(name, {}), self.path(name)).names())
            ensure_plain(self.any(name, {}))
        except Misfit:
            raise
        except ValueError as error:
            raise self.misfit(name, f"cannot be kept: {error}") from error

    def list(self, name: str, default: Any = _REQUIRED, *, most: int = 2**20) -> list[Any]:
        """A list of at most so many values."""
        value = self.any(name, default)
        if not isinstance(value, (list, tuple)):
            raise self.misfit(name, f"must be a list, not {_kind(value)}")
        if len(value) > most:
            raise self.misfit(name, f"has {len(value)} values, at most {most} are read")
        return list(value)

    def misfit(self, name: str, message: str) -> Misfit:
        """What to raise about this key."""
        return Misfit(self.path(name), message)


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", tuple: "a list"}
    return "null" if value is None else "a mapping" if isinstance(value, dict) else kinds.get(type(value), "bytes")
