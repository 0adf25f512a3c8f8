"""What a stranger's message is made of, looked at before anything is made of it."""

from __future__ import annotations

from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from dtopipe.model.errors import WireError

# Of ours none is deeper: a status holds a topology.
_MOST_DEPTH = 24
# First byte to (bytes of the length or number behind it, bytes of content a unit, items a unit), as in msgpack's
# specification, formats overview.
_BIN, _EXT, _STR = (0xC4, 0xC5, 0xC6), (0xC7, 0xC8, 0xC9), (0xD9, 0xDA, 0xDB)
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_ARRAY, _MAP = {0xDC: 2, 0xDD: 4}, {0xDE: 2, 0xDF: 4}


def ensure_modest(frame: bytes, most_items: int = 2**20) -> None:
    """Raises WireError if this msgpack is deeper or has more values than it may, or says that it has more than it has.

    A parser makes room for what an array says of its length, at each level anew. Takes time by the frame's length only.
    """
    at, end = 0, len(frame)
    # How many items are still to come, level by level.
    left = [1]
    while left:
        if left[-1] == 0:
            left.pop()
            continue
        left[-1] -= 1
        if at >= end:
            raise WireError("a message that is cut")
        first = frame[at]
        at += 1
        items = 0
        if first <= 0x7F or first >= 0xE0 or 0xC0 <= first <= 0xC3:
            continue
        if first <= 0x8F:
            items = 2 * (first & 0x0F)
        elif first <= 0x9F:
            items = first & 0x0F
        elif first <= 0xBF:
            at += first & 0x1F
        elif first in _FIXED:
            at += _FIXED[first]
        elif first in _ARRAY or first in _MAP:
            width = _ARRAY.get(first) or _MAP[first]
            items = int.from_bytes(frame[at : at + width], "big") * (2 if first in _MAP else 1)
            at += width
        else:
            kind = next(kind for kind in (_BIN, _EXT, _STR) if first in kind)
            width = 1 << kind.index(first)
            at += width + int.from_bytes(frame[at : at + width], "big") + (kind is _EXT)
        if items:
            most_items -= items
            if most_items < 0:
                raise WireError("a message of too many values")
            if len(left) > _MOST_DEPTH or items > end - at:
                raise WireError(f"a message with {items} items at level {len(left)}")
            left.append(items)
    if at > end:
        raise WireError("a message that is cut")


def ensure_fields(value: Any) -> None:
    """Raises WireError if a field of this dataclass is not of its annotated type."""
    hints = get_type_hints(type(value))
    for field in fields(value):
        found = getattr(value, field.name)
        if not _fits(found, hints[field.name]):
            raise WireError(f"{type(value).__name__}.{field.name} is {type(found).__name__}")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if hint is NoneType:
        return value is None
    if hint in (int, float):
        # A truth value is a number to Python.
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(hint)[0]) for each in value)
    return isinstance(value, get_origin(hint) or hint)
