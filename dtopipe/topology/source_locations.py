"""YAML with places: plain values, and where each of them stands in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dtopipe.model.errors import Place, Problem, TopologyError

_MAX_BYTES = 2**20
# With aliases a file of a few lines can stand for gigabytes. A long one has more values of its own: of thousands of
# channels, one in seven bytes.
_MAX_NODES, _BYTES_A_NODE = 20_000, 4
# Of the key that stands there again; what is wrong with the first one is another mistake.
TWICE = "stands here a second time"
_WAY_TO_BEGIN = "dtopipe init writes one to start from"


_TAG = "tag:yaml.org,2002:"
# A file that names another one by hand wants an object that no topology has.
_PLAIN_TAGS = {_TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map")}


class _Loader(yaml.SafeLoader):
    """Words like `no` and `on` are words; only true and false are truth values, as in YAML 1.2."""

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        """A whole number as it reads: YAML 1.1 would take 010 for 8."""
        return int(str(node.value), 10)


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.removeprefix(_TAG) not in ("bool", "timestamp", "int", "float", "merge")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"^(?:true|false|True|False)$"), list("tTfF"))
# YAML 1.1 takes 1e3 for a word, and 1:30 for 90.
_Loader.add_implicit_resolver(_TAG + "int", re.compile(r"^[-+]?[0-9](?:_?[0-9])*$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _TAG + "float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
               r"|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"),
    list("-+0123456789."),
)  # fmt: skip
_Loader.add_constructor(_TAG + "int", _Loader.construct_decimal)


@dataclass(slots=True)
class Placed:
    """A document and the place of each of its values, by key path (`sinks.view.policy`, `task.channels[0].name`).

    `problems`: keys that stand there twice, and values of no kind that a topology has; the document is without them.
    """

    document: dict[str, Any]
    places: dict[str, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_yaml(path: Path) -> Placed:
    """Read a topology file. Raises TopologyError where it is no YAML at all."""
    name = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TopologyError([Problem(None, "", f"{name}: {error.strerror}", _way_to_a_file(path))]) from error
    if len(data) > _MAX_BYTES:
        raise TopologyError([Problem(None, "", f"{name}: a topology has at most {_MAX_BYTES} bytes")])
    return parse_yaml(data, name)


def parse_yaml(data: bytes | str, name: str) -> Placed:
    """The document in these bytes; `name` is what places call the file. Raises TopologyError where it is no YAML."""
    begin = Place(name, 1, 1)
    try:
        loader = _Loader(data)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise TopologyError([Problem(begin, "", "a topology is a mapping with board: and sinks:", _WAY_TO_BEGIN)])
        reading = _Reading(loader, name, max(_MAX_NODES, len(data) // _BYTES_A_NODE))
        document = reading.value(node, "")
    except yaml.MarkedYAMLError as error:
        raise TopologyError([_not_yaml(error, name)]) from error
    except yaml.reader.ReaderError as error:
        raise TopologyError([_not_text(error, data, name)]) from error
    except RecursionError as error:
        raise TopologyError(
            [Problem(begin, "", "values in values in values: nested too deeply", "is an alias (*name) part of itself?")]
        ) from error
    return Placed(document, reading.places, reading.problems)


def parse_value(text: str, source: str) -> Any:
    """The value that a command line gives, `source` being its option. Raises TopologyError."""
    place = Place(source, 0, 0)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        reading = _Reading(loader, source)
        value = None if node is None else reading.value(node, "")
    except (yaml.YAMLError, RecursionError) as error:
        raise TopologyError([Problem(place, "", f"not a value: {text!r}", "put it in quotes")]) from error
    if reading.problems:
        raise TopologyError([Problem(place, "", reading.problems[0].message, reading.problems[0].remedy)])
    return value


def _not_yaml(error: yaml.MarkedYAMLError, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(name, mark.line + 1, mark.column + 1) if mark else None
    words = ", ".join(filter(None, (error.context, error.problem)))
    remedy = "is a bracket, a quote, or a space after a colon missing before?"
    if mark and "${" in (mark.get_snippet() or ""):
        remedy = 'between { and } write a variable in quotes: "${VAR}"'
    return Problem(place, "", f"not YAML: {words}", remedy)


def _not_text(error: yaml.reader.ReaderError, data: bytes | str, name: str) -> Problem:
    """A byte or character that no YAML file has, with its place."""
    before = data[: error.position]
    line_end = b"\n" if isinstance(before, bytes) else "\n"
    line = before.count(line_end) + 1  # type: ignore[arg-type]
    column = len(before) - (before.rfind(line_end) + 1) + 1  # type: ignore[arg-type]
    what = f"it has the character {error.character:#04x}" if error.encoding == "unicode" else "this is not UTF-8"
    return Problem(Place(name, line, column), "", f"not a text: {what}", "save the file as UTF-8 text")


class _Reading:
    def __init__(self, loader: _Loader, name: str, most_nodes: int = _MAX_NODES) -> None:
        self._loader = loader
        self._name = name
        self._nodes = 0
        self._most_nodes = most_nodes
        self.places: dict[str, Place] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, key: str) -> Any:
        place = self._place(node)
        self.places.setdefault(key, place)
        self._count(place, key)
        if node.tag not in _PLAIN_TAGS:
            self.problems.append(Problem(place, key, f"a value of type {node.tag}", "write a plain value"))
            return None
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
        own = [(k, v) for k, v in node.value if not _is_merge(k)]
        names = {k.value for k, _ in own if isinstance(k, yaml.ScalarNode)}
        # What stands here itself counts.
        taken = [pair for name, pair in self._taken_over(node, key).items() if name not in names]
        found: dict[str, Any] = {}
        for key_node, value_node in (*taken, *own):
            place = self._place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(place, key, "a key is a word", "write the keys out"))
                continue
            name = str(key_node.value)
            path = f"{key}.{name}" if key else name
            if name in found:
                self.problems.append(Problem(place, path, TWICE, f"first: {self.places[path]}"))
                continue
            self.places[path] = place
            found[name] = self.value(value_node, path)
        return found

    def _taken_over(self, node: yaml.MappingNode, key: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The keys that `<<:` takes over from another mapping, or from each of a list, of which the first counts."""
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, others in node.value:
            if not _is_merge(key_node):
                continue
            for other in others.value if isinstance(others, yaml.SequenceNode) else [others]:
                self._count(self._place(key_node), key)
                if not isinstance(other, yaml.MappingNode):
                    remedy = "write <<: *NAME, of a mapping that has &NAME before it"
                    self.problems.append(Problem(self._place(key_node), key, "<<: takes over a mapping's keys", remedy))
                    continue
                for pair in (*other.value, *self._taken_over(other, key).values()):
                    if not _is_merge(pair[0]):
                        found.setdefault(str(pair[0].value), pair)
        return found

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._name, node.start_mark.line + 1, node.start_mark.column + 1)

    def _count(self, place: Place, key: str) -> None:
        self._nodes += 1
        if self._nodes > self._most_nodes:
            what = f"more than {self._most_nodes} values: are there aliases in aliases?"
            raise TopologyError([Problem(place, key, what)])


def _is_merge(node: yaml.Node) -> bool:
    """True for a plain `<<`; in quotes it is a name."""
    return isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.style is None


def _way_to_a_file(path: Path) -> str:
    folder = path.parent
    near = sorted(p.name for p in folder.glob("*.y*ml"))[:5] if folder.is_dir() else []
    return f"there are: {', '.join(near)}" if near else _WAY_TO_BEGIN
