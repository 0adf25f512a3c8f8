"""The keys of every installed type of board and sink, as models, ours and those of plug-ins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

from dtopipe.boards import registry as boards
from dtopipe.model.parts import BoardPart, SinkPart
from dtopipe.model.references import Reference, referred
from dtopipe.sinks import registry as sinks

_P = TypeVar("_P", BoardPart, SinkPart)


class PluggedBoard(BoardPart):
    """A plug-in's board; its options pass through."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PluggedSink(SinkPart):
    """A plug-in's sink; its options pass through."""

    model_config = ConfigDict(extra="allow", frozen=True)


class SinkOfKnownKeys(SinkPart):
    """A plug-in's sink whose keys are the keyword arguments of its class; what is not given is left to it."""


def board_models() -> dict[str, type[BoardPart]]:
    """The options of every board type that is installed."""
    return _loaded(boards.installed(), boards.OURS, board_model)[0]


def sink_models() -> dict[str, type[SinkPart]]:
    """The options of every sink type that is installed."""
    return _loaded(sinks.installed(), sinks.OURS, sink_model)[0]


def broken_boards() -> dict[str, str]:
    """Name: why, of every board type that cannot be loaded."""
    return _loaded(boards.installed(), boards.OURS, board_model)[1]


def broken_sinks() -> dict[str, str]:
    """Name: why, of every sink type that cannot be loaded."""
    return _loaded(sinks.installed(), sinks.OURS, sink_model)[1]


def board_model(name: str, reference: Reference) -> type[BoardPart]:
    """The board's own options on top of everybody's; without any, all keys pass. Raises what a plug-in raises."""
    referred(reference)
    kind = boards.described(name, reference)
    own, doc = _own(kind.options, kind.board)
    return _extended(own, BoardPart, doc) or type("PluggedBoard", (PluggedBoard,), {"__doc__": doc})


def sink_model(name: str, reference: Reference) -> type[SinkPart]:
    """The sink's own options on top of everybody's. Raises what a plug-in raises.

    Without options of its own, they are the keyword arguments that its class takes; where that takes any, all keys
    pass.
    """
    referred(reference)
    kind = sinks.described(name, reference)
    own, doc = _own(kind.options, kind.writer)
    if (model := _extended(own, SinkPart, doc)) is not None:
        return model
    if (keys := _keywords(referred(kind.writer))) is None:
        return type("PluggedSink", (PluggedSink,), {"__doc__": doc})
    fields_of: dict[str, Any] = dict.fromkeys(keys, (Any, None))
    return create_model("SinkOfKnownKeys", __base__=SinkOfKnownKeys, __doc__=doc, **fields_of)


def own_options(part: BaseModel, base: type[BaseModel]) -> dict[str, Any]:
    """What of a part is its type's own, as plain values; `path` of a sink is everybody's."""
    given = part.model_dump(mode="json", exclude_unset=isinstance(part, SinkOfKnownKeys))
    return {key: value for key, value in given.items() if key not in base.model_fields}


def _loaded(
    known: Mapping[str, Reference], ours: Container[str], model_of: Callable[[str, Reference], type[_P]]
) -> tuple[dict[str, type[_P]], dict[str, str]]:
    """The models of what can be loaded, and of the rest why it cannot: somebody else's code may raise anything."""
    models: dict[str, type[_P]] = {}
    broken: dict[str, str] = {}
    for name, reference in known.items():
        try:
            model = model_of(name, reference)
            if name not in ours:
                # What cannot be shown is said now.
                model.model_json_schema()
            models[name] = model
        except Exception as error:
            broken[name] = str(error) or type(error).__name__
    return models, broken


def _own(options: Reference | None, used_by: Reference) -> tuple[Any, str]:
    """The options of a type, if it has any, and what is said of it."""
    if options is not None:
        own = referred(options)
        return own, own.__doc__ or f"A plug-in's: {options}."
    user = referred(used_by)
    return getattr(user, "Options", None), user.__doc__ or f"A plug-in's: {used_by}."


def _extended(own: Any, base: type[_P], doc: str) -> type[_P] | None:
    """`own` as it is where it extends `base`, else both in one; None if it is no model of options."""
    if not (isinstance(own, type) and issubclass(own, BaseModel)):
        return None
    return own if issubclass(own, base) else type(own.__name__, (own, base), {"__doc__": doc})


def _keywords(writer: Any) -> list[str] | None:
    """What a writer's class takes besides the output, which comes first; None for anything, or where it is not said."""
    try:
        output, *more = inspect.signature(writer).parameters.values()
    except (TypeError, ValueError):
        return None
    if output.kind is output.VAR_POSITIONAL or any(each.kind is each.VAR_KEYWORD for each in (output, *more)):
        return None
    return [each.name for each in more if each.name not in SinkPart.model_fields]
