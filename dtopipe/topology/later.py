"""Words of a topology that this version does not know yet are said to be that, not called mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_BOARDS = ("jetstream",)
_SINKS = ("jetstream",)


def not_built_yet(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Problems (key, what, remedy) with what comes in a later version."""
    for key, what in _found(document):
        yield key, f"{what} is not built yet in this version", "take it out"


def _found(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    board, sinks = document.get("board"), document.get("sinks")
    if isinstance(board, dict) and board.get("type") in _BOARDS:
        yield "board.type", f"board type {board['type']}"
    for name, sink in sinks.items() if isinstance(sinks, dict) else ():
        if not isinstance(sink, dict):
            continue
        if sink.get("type") in _SINKS:
            yield f"sinks.{name}.type", f"sink type {sink['type']}"
