"""How the fields of a message travel: each by its type, and looked at once, where the message comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.plan import SinkPlan, TaskPlan
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Channel, Stream
from dtopipe.wire.describe import (
    anchor_from,
    channel_from,
    describe_anchor,
    describe_channel,
    describe_gaps,
    describe_position,
    describe_stream,
    describe_task,
    gaps_from,
    position_from,
    stream_from,
    task_from,
)
from dtopipe.wire.plans import describe_sink, sink_from


class Travels(StrEnum):
    """How a field travels that is not simply a key of its own; stands in its annotation."""

    # Its own fields stand in the message beside the others.
    INLINE = "inline"
    # It has every key that no other field is called by.
    REST = "rest"
    # It may be None, and is not in the message then.
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class Called:
    """The key of a field that travels under another name; stands in its annotation."""

    key: str


class TypedMessage:
    """One kind of message: a frozen dataclass, whose fields are the keys beside `kind`.

    Those that have no default must be there.
    """

    __slots__ = ()
    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if kind:
            cls.kind = kind


def body_of(value: Any) -> dict[str, Any]:
    """The keys of a message, or of a part of one, with values that msgpack has."""
    return _form(type(value)).body(value)


def read_body(wanted: type[Any], body: Mapping[str, Any]) -> Any:
    """An instance of this dataclass from these keys; what else there is is passed over. Raises WireError."""
    return _form(wanted).read(body)


def field_names(wanted: type[Any]) -> tuple[tuple[str, bool], ...]:
    """(key, whether it must be there) of everything that such a message may hold, but for the rest."""
    found: list[tuple[str, bool]] = []
    for way in _form(wanted).ways:
        if way.is_inline:
            found += field_names(way.inner)
        elif not way.is_rest:
            found.append((way.key, way.is_required))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Way:
    """How one field goes into a message, and comes out of it."""

    name: str
    key: str
    # None: the value travels as it is.
    write: Callable[[Any], Any] | None
    read: Callable[[Any], Any]
    is_required: bool
    is_left_out_if_none: bool
    is_inline: bool = False
    is_rest: bool = False
    inner: Any = None


class _Form:
    """All fields of one dataclass."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        hints = get_type_hints(kind, include_extras=True)
        self.ways = tuple(_way(each, hints[each.name]) for each in fields(kind))
        self._keys = frozenset(way.key for way in self.ways)

    def body(self, value: Any) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for way in self.ways:
            found = getattr(value, way.name)
            if found is None and way.is_left_out_if_none:
                continue
            if way.write is not None:
                found = way.write(found)
            if way.is_inline or way.is_rest:
                body |= found
            else:
                body[way.key] = found
        return body

    def read(self, body: Any) -> Any:
        if not isinstance(body, Mapping):
            raise WireError(f"it is {type(body).__name__}, not a map")
        values: dict[str, Any] = {}
        for way in self.ways:
            if way.is_inline:
                values[way.name] = way.read(body)
            elif way.is_rest:
                values[way.name] = {key: value for key, value in body.items() if key not in self._keys}
            elif way.key in body:
                try:
                    values[way.name] = way.read(body[way.key])
                except WireError as error:
                    raise WireError(f"{way.key}: {error}") from error
            elif way.is_required:
                raise WireError(f"{way.key} is absent")
        return self._kind(**values)


_forms: dict[type[Any], _Form] = {}


def _form(kind: type[Any]) -> _Form:
    form = _forms.get(kind)
    if form is None:
        form = _forms[kind] = _Form(kind)
    return form


def _way(each: Field[Any], annotation: Any) -> _Way:
    hint, *marks = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    is_inline, is_rest = Travels.INLINE in marks, Travels.REST in marks
    write, read = (None, _plain(Mapping)) if is_rest else _converters(hint)
    if is_inline and hint is Position:
        read = _inline_position
    return _Way(
        name=each.name,
        key=next((mark.key for mark in marks if isinstance(mark, Called)), each.name),
        write=write,
        read=read,
        is_required=each.default is MISSING and each.default_factory is MISSING,
        is_left_out_if_none=Travels.LEFT_OUT in marks,
        is_inline=is_inline,
        is_rest=is_rest,
        inner=hint if is_inline else None,
    )


def _inline_position(body: Mapping[str, Any]) -> Position:
    return position_from({each.name: body[each.name] for each in fields(Position) if each.name in body})


# Values of the model that are no maps of their own fields, or are looked at more closely than by their types.
_OF_MODEL: dict[Any, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    Stream: (describe_stream, stream_from),
    Channel: (describe_channel, channel_from),
    Position: (describe_position, lambda value: position_from(_plain(Mapping)(value))),
    Anchor: (describe_anchor, lambda value: anchor_from(_plain(list)(value))),
    TaskPlan: (describe_task, lambda value: task_from(_plain(Mapping)(value))),
    SinkPlan: (describe_sink, lambda value: sink_from(_plain(Mapping)(value))),
}


def _converters(hint: Any) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any]]:
    """(how it is written, None for as it is; how it is read) of values of this type."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return None, lambda value: value
    if hint in _OF_MODEL:
        return _OF_MODEL[hint]
    if origin in (Union, UnionType):
        return _of_union(parts)
    if origin is tuple and parts[-1] is ...:
        if parts[0] is Gap:
            return describe_gaps, lambda value: tuple(gaps_from(_plain(list)(value)))
        return _of_list(*_converters(parts[0]))
    if origin is tuple:
        return list, _fixed_list([_converters(part)[1] for part in parts])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda value: value.value, _word_of(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return body_of, lambda value: read_body(hint, value)
    return None, _plain(origin or hint)


def _of_union(parts: tuple[Any, ...]) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any]]:
    """Both ways, to write and to read, of what may be None, and of plain values of several types."""
    ways = [_converters(part) for part in parts if part is not NoneType]
    may_be_none = NoneType in parts
    write = ways[0][0] if len(ways) == 1 else None

    def read(value: Any) -> Any:
        if value is None and may_be_none:
            return None
        for _, each in ways[:-1]:
            try:
                return each(value)
            except WireError:
                continue
        return ways[-1][1](value)

    if write is None:
        return None, read
    return lambda value: None if value is None else write(value), read


def _of_list(
    write: Callable[[Any], Any] | None, read: Callable[[Any], Any]
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    plain = _plain(list)
    if write is None:
        return list, lambda value: tuple(read(each) for each in plain(value))
    return lambda value: [write(each) for each in value], lambda value: tuple(read(each) for each in plain(value))


def _fixed_list(readers: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    plain = _plain(list)

    def read(value: Any) -> Any:
        if len(plain(value)) != len(readers):
            raise WireError(f"it has {len(value)} values, not {len(readers)}")
        return tuple(each(part) for each, part in zip(readers, value, strict=True))

    return read


def _word_of(words: type[StrEnum]) -> Callable[[Any], StrEnum]:
    def read(value: Any) -> StrEnum:
        try:
            return words(value)
        except ValueError as error:
            raise WireError(f"it is none of {', '.join(words)}") from error

    return read


def _plain(wanted: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # A truth value is a number to Python.
        if wanted in (int, float) and isinstance(value, bool):
            raise WireError(f"it is bool, not {wanted.__name__}")
        if wanted is float and isinstance(value, int):
            return float(value)
        if not isinstance(value, wanted):
            raise WireError(f"it is {type(value).__name__}, not {wanted.__name__}")
        return value

    return read
