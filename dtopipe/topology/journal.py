"""Which sink is the journal, and what that makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dtopipe.model.parts import SinkPart
from dtopipe.sinks.registry import known_sink_type

# A journal is made durable by itself this often, unless its sink says otherwise.
JOURNAL_SYNC_S = 1.0


def journal_of(parts: Mapping[str, SinkPart]) -> str | None:
    """The sink that says `journal: true`, else the first one of raw codes that has every sample and may be it."""
    able = [name for name, part in parts.items() if known_sink_type(part.type).is_raw and not _why_not(part)]
    chosen = [name for name in able if _wish(parts[name])]
    willing = [name for name in able if _wish(parts[name]) is not False]
    return next(iter([*chosen, *willing]), None)


def journal_problems(parts: Mapping[str, SinkPart]) -> Iterator[tuple[str, str, str]]:
    """Problems (key, what, remedy) with sinks that say that they are the journal."""
    wishing = [name for name, part in parts.items() if known_sink_type(part.type).is_raw and _wish(part)]
    for name in wishing:
        if why := _why_not(parts[name]):
            yield f"sinks.{name}.journal", f"a journal takes every sample, and {why}", "take it out, or journal: true"
    for name in wishing[1:]:
        yield f"sinks.{name}.journal", f"sink {wishing[0]} is the journal already", "take one journal: true out"


def journal_defaults(part: SinkPart) -> dict[str, Any]:
    """What a journal has where nothing else is written: it is essential, and synced by itself."""
    own: dict[str, Any] = {"essential": True, "sync_s": JOURNAL_SYNC_S}
    written: Sequence[tuple[str, str]] = (("essential", "essential"), ("sync", "sync_s"))
    return {plan: own[plan] for key, plan in written if key not in part.model_fields_set}


def _wish(part: SinkPart) -> bool | None:
    wish: bool | None = getattr(part, "journal", None)
    return wish


def _why_not(part: SinkPart) -> str:
    if part.policy != "block":
        return f"this one has policy {part.policy}"
    if part.channels is not None:
        return "this one has some channels only"
    if part.when is not None:
        return "this one waits for its trigger"
    return ""
