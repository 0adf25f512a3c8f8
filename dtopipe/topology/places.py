"""YAML with places: plain values, and where each of them stands in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dtopipe.model.errors import Place, Problem, TopologyError

_MAX_BYTES = 2**20
# With aliases a file of a few lines can stand for gigabytes.
_MAX_NODES = 20_000


class _Loader(yaml.SafeLoader):
    """Words like `no` and `on` are words; only true and false are truth values, as in YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tTfF"))
# YAML 1.1 takes 1e3 for a word.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(slots=True)
class Placed:
    """A document and the place of each of its values, by key path (`sinks.view.policy`, `task.channels[0].name`)."""

    document: dict[str, Any]
    places: dict[str, Place] = field(default_factory=dict)


def read_yaml(path: Path) -> Placed:
    """Read a topology file. Raises TopologyError."""
    name = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TopologyError([Problem(None, "", f"{name}: {error.strerror}", _way_to_a_file(path))]) from error
    if len(data) > _MAX_BYTES:
        raise TopologyError([Problem(None, "", f"{name}: a topology has at most {_MAX_BYTES} bytes")])
    return parse_yaml(data, name)


def parse_yaml(data: bytes | str, name: str) -> Placed:
    """The document in these bytes; `name` is what places call the file. Raises TopologyError."""
    try:
        loader = _Loader(data)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else None
        raise TopologyError([Problem(place, "", f"not YAML: {error.problem or error.context}")]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TopologyError([Problem(Place(name, 1, 1), "", f"not YAML: {error}")]) from error
    if not isinstance(node, yaml.MappingNode):
        raise TopologyError([Problem(Place(name, 1, 1), "", "a topology is a mapping with board: and sinks:")])
    reading = _Reading(loader, name)
    document = reading.value(node, "")
    if reading.problems:
        raise TopologyError(reading.problems)
    return Placed(document, reading.places)


class _Reading:
    def __init__(self, loader: _Loader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._nodes = 0
        self.places: dict[str, Place] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, key: str) -> Any:
        self._nodes += 1
        place = Place(self._name, node.start_mark.line + 1, node.start_mark.column + 1)
        self.places.setdefault(key, place)
        if self._nodes > _MAX_NODES:
            raise TopologyError([Problem(place, key, f"more than {_MAX_NODES} values: are there aliases in aliases?")])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{key}[{number}]") for number, item in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.problems.append(Problem(place, key, f"not a value: {error}"))
            return None

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = Place(self._name, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self.problems.append(Problem(place, key, "a key is a word", "write the keys out"))
                continue
            name = str(key_node.value)
            path = f"{key}.{name}" if key else name
            if name in found:
                self.problems.append(Problem(place, path, "stands here a second time", f"first: {self.places[path]}"))
                continue
            self.places[path] = place
            found[name] = self.value(value_node, path)
        return found


def _way_to_a_file(path: Path) -> str:
    folder = path.parent
    near = sorted(p.name for p in folder.glob("*.y*ml"))[:5] if folder.is_dir() else []
    return f"there are: {', '.join(near)}" if near else "dtopipe init writes one to start from"
