"""Types of boards and sinks that are installed, with their options and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dtopipe.topology.options import board_models, sink_models
from dtopipe.topology.schema import BoardPart, SinkPart, TopologyPart


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
    """One type of board or sink; `options` are its own, not those of every sink."""

    name: str
    meaning: str
    options: tuple[Option, ...]


def board_types() -> list[TypeEntry]:
    """Every board type, plug-ins included."""
    return [_entry(name, model, BoardPart) for name, model in sorted(board_models().items())]


def sink_types() -> list[TypeEntry]:
    """Every sink type, plug-ins included."""
    return [_entry(name, model, SinkPart) for name, model in sorted(sink_models().items())]


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
    from dtopipe.topology.schema import TaskPart

    task = TaskPart.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(task.pop("$defs", {}))
    properties["task"] = task
    return schema


def _by_type(models: Mapping[str, type[BaseModel]], definitions: dict[str, Any], what: str) -> dict[str, Any]:
    choices = []
    for name, model in sorted(models.items()):
        schema = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        schema["properties"]["type"] = {"const": name, "description": f"Type of the {what}"}
        choices.append(schema)
    return {"oneOf": choices}


def _entry(name: str, model: type[BaseModel], base: type[BaseModel]) -> TypeEntry:
    own = [option for option in _options(model) if option.name not in base.model_fields or option.name == "path"]
    return TypeEntry(name, (model.__doc__ or "").strip().splitlines()[0], tuple(own))


def _options(model: type[BaseModel]) -> list[Option]:
    properties = model.model_json_schema()["properties"]
    found = []
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            default = default.model_dump(mode="json")
        found.append(
            Option(name, _type_text(properties.get(name, {})), default, field.is_required(), field.description or "")
        )
    return found


def _type_text(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(word) for word in schema["enum"])
    if "const" in schema:
        return str(schema["const"]).lower()
    if "anyOf" in schema:
        return " | ".join(_type_text(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "examples" in schema:
        return f"such as {schema['examples'][0]}"
    return str(schema.get("type", "mapping"))
