"""Types of boards and sinks that are installed, with their options and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from dtopipe.boards.registry import known_board_type
from dtopipe.model.parts import BoardPart, SinkPart
from dtopipe.model.quantities import spelled
from dtopipe.model.references import referred
from dtopipe.sinks.registry import known_sink_type
from dtopipe.topology.options import board_models, broken_boards, broken_sinks, sink_models
from dtopipe.topology.schema import KINDS, ChannelPart, TaskPart, TopologyPart


@dataclass(frozen=True, slots=True)
class Option:
    """One option: what it may be, its default (`required` if it has none), and what it does."""

    name: str
    type: str
    default: Any
    required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class TypeEntry:
    """One type of board or sink; `options` are its own, not those of every sink. `broken`: why it cannot be used.

    `channel_options`: what a channel of this board may say besides; None where only the board itself knows. `kinds`:
    what it may be; empty for a sink, and for a board that brings its own channels. `look`: what people are told who
    want to look at an output of this sink.
    """

    name: str
    meaning: str
    options: tuple[Option, ...] = ()
    channel_options: tuple[Option, ...] | None = None
    kinds: tuple[str, ...] = ()
    look: str = ""
    broken: str | None = None


def board_types() -> list[TypeEntry]:
    """Every board type, plug-ins included."""
    entries = _entries(board_models(), BoardPart, broken_boards())
    return [replace(entry, channel_options=_channel_options(entry.name), kinds=_kinds(entry.name)) for entry in entries]


def _channel_options(board: str) -> tuple[Option, ...] | None:
    """What a channel may say to that board only; empty for one that brings its own channels."""
    kind = known_board_type(board)
    if kind.brings_task:
        return ()
    return None if kind.channel_options is None else tuple(_options(referred(kind.channel_options)))


def _kinds(board: str) -> tuple[str, ...]:
    kind = known_board_type(board)
    return () if kind.brings_task else (*KINDS, *kind.kinds)


def channel_options() -> list[Option]:
    """What a channel may say whatever board it is of."""
    return _options(ChannelPart)


def sink_types() -> list[TypeEntry]:
    """Every sink type, plug-ins included."""
    entries = _entries(sink_models(), SinkPart, broken_sinks())
    return [replace(entry, look=known_sink_type(entry.name).look) for entry in entries]


def board_options() -> list[Option]:
    """What every board may be told."""
    return [option for option in _options(BoardPart) if option.name != "type"]


def sink_options() -> list[Option]:
    """What every sink may be told."""
    return [option for option in _options(SinkPart) if option.name != "type"]


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a topology, for completion in editors."""
    schema = TopologyPart.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "dtopipe topology"
    properties = schema["properties"]
    properties["board"] = _by_type(board_models(), definitions, "board")
    properties["sinks"]["additionalProperties"] = _by_type(sink_models(), definitions, "sink")
    task = TaskPart.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(task.pop("$defs", {}))
    properties["task"] = task
    _allow_variables(schema)
    return schema


def _allow_variables(schema: Any) -> None:
    """Numbers and truth values may be `${VAR}` as well."""
    if isinstance(schema, list):
        for item in schema:
            _allow_variables(item)
    elif isinstance(schema, dict):
        if schema.get("type") in ("number", "integer", "boolean"):
            schema |= {"type": [schema["type"], "string"], "pattern": r"\$\{"}
        for item in list(schema.values()):
            _allow_variables(item)


def _by_type(models: Mapping[str, type[BaseModel]], definitions: dict[str, Any], what: str) -> dict[str, Any]:
    choices = []
    for name, model in sorted(models.items()):
        schema = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        schema["properties"]["type"] = {"const": name, "description": f"Type of the {what}"}
        choices.append(schema)
    return {"oneOf": choices}


def _entries(
    models: Mapping[str, type[BaseModel]], base: type[BaseModel], broken: Mapping[str, str]
) -> list[TypeEntry]:
    unusable = [TypeEntry(name, f"a plug-in that cannot be loaded: {why}", broken=why) for name, why in broken.items()]
    return sorted([*(_entry(name, model, base) for name, model in models.items()), *unusable], key=lambda e: e.name)


def _entry(name: str, model: type[BaseModel], base: type[BaseModel]) -> TypeEntry:
    own = [option for option in _options(model) if option.name not in base.model_fields or option.name == "path"]
    return TypeEntry(name, (model.__doc__ or "").strip().partition("\n")[0], tuple(own))


def _options(model: type[BaseModel]) -> list[Option]:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    found = []
    for own_name, field in model.model_fields.items():
        name = field.alias or own_name
        described = schema["properties"].get(name, {})
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        found.append(
            Option(
                name=name,
                type=_type_text(described, definitions),
                default=_as_written(default, described),
                required=field.is_required(),
                meaning=field.description or "",
            )
        )
    return found


_TYPES = {"string": "text", "integer": "whole number", "boolean": "true | false", "array": "list", "object": "mapping"}


def _type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _type_text(definitions[str(schema["$ref"]).rpartition("/")[2]], definitions)
    if "enum" in schema:
        return " | ".join(str(word) for word in schema["enum"] if word is not None)
    if "const" in schema:
        return str(schema["const"]).lower()
    if "anyOf" in schema:
        return " | ".join(_type_text(choice, definitions) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "examples" in schema:
        return f"such as {schema['examples'][0]}"
    if "properties" in schema:
        return f"{{{', '.join(schema['properties'])}}}"
    kind = str(schema.get("type", "mapping"))
    return _TYPES.get(kind, kind)


def _as_written(default: Any, schema: Mapping[str, Any]) -> Any:
    """A default as a topology would say it."""
    if isinstance(default, BaseModel):
        parts = type(default).model_json_schema()["properties"]
        return {name: _as_written(getattr(default, name), parts[name]) for name in type(default).model_fields}
    choices = (schema, *schema.get("anyOf", ()))
    if default is None and any("none" in choice.get("enum", ()) for choice in choices):
        return "none"
    if isinstance(default, float) and any("ms" in choice.get("pattern", "") for choice in choices):
        return spelled(default)
    return default
