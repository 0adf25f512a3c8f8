"""A run's metadata, and what of it was changed after the run had begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.model.errors import UsageError
from dtopipe.model.facts import ensure_plain
from dtopipe.model.marks import steers

# The record is written as a whole each time.
_MOST_CHANGES = 10_000
_LONGEST_KEY, _LONGEST_VALUE = 200, 20_000


@dataclass(frozen=True, slots=True)
class MetadataChanges:
    """`values`: as they are now. `changes`, oldest first: `key`, `was` (absent where there was none), `at`, `by`."""

    values: Mapping[str, Any]
    changes: tuple[Mapping[str, Any], ...] = ()


def metadata_of(record: Mapping[str, Any]) -> MetadataChanges:
    """What a run record says."""
    changes = record.get("metadata_changes")
    return MetadataChanges(dict(record.get("metadata") or {}), tuple(changes if isinstance(changes, list) else ()))


def changed_metadata(before: MetadataChanges, values: Mapping[str, Any], at: str, by: str) -> MetadataChanges:
    """The metadata with these values: `before` itself where nothing is new. Raises UsageError."""
    for key, value in values.items():
        _check(key, value)
    new = {key: value for key, value in values.items() if key not in before.values or before.values[key] != value}
    if not new:
        return before
    if len(before.changes) + len(new) > _MOST_CHANGES:
        raise UsageError(
            f"the metadata were changed {len(before.changes):,} times already", "keep what changes as marks"
        )
    told = [
        {"key": key, **({"was": before.values[key]} if key in before.values else {}), "at": at, "by": by} for key in new
    ]
    return MetadataChanges({**before.values, **new}, (*before.changes, *told))


def _check(key: Any, value: Any) -> None:
    if not isinstance(key, str) or not key.strip() or len(key) > _LONGEST_KEY or steers(key):
        what = f"metadata cannot have the key {key!a:.120}"
        raise UsageError(what, f"give it a name of 1 to {_LONGEST_KEY} letters, digits and signs, such as sample=A7")
    if value is None:
        raise UsageError(f"metadata.{key} needs a value", f"write {key}=...; a former value stays on record")
    try:
        ensure_plain(value)
    except ValueError as error:
        raise UsageError(f"metadata.{key} cannot be kept: {error}", "write text, numbers, lists or mappings") from error
    if isinstance(value, str) and (len(value) > _LONGEST_VALUE or "\0" in value):
        raise UsageError(f"metadata.{key} is too long, or has a NUL", f"at most {_LONGEST_VALUE:,} characters of text")
