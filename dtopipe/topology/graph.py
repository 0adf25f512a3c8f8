"""The graph of a run before it begins: from the board by the ring to its sinks, and who else is around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from dtopipe.model.plan import RunPlan, SinkPlan
from dtopipe.model.quantities import spelled
from dtopipe.model.shown import shown


class Shape(Enum):
    """What a node is."""

    BOARD = "board"
    RING = "ring"
    SINK = "sink"
    OUTPUT = "output"
    WATCHER = "watcher"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Node:
    """`name`: unlike that of every other node, and a word in any language; `lines`: what stands in it."""

    name: str
    shape: Shape
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to another; `text`: what goes there, and how. `is_spare`: used only while the other way is shut."""

    source: str
    target: str
    text: str = ""
    is_spare: bool = False


@dataclass(slots=True)
class Graph:
    """Nodes in the order in which samples pass them."""

    title: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def add(self, name: str, shape: Shape, *lines: str) -> str:
        """One more node; its name."""
        self.nodes.append(Node(name, shape, tuple(shown(line) for line in lines if line)))
        return name

    def join(self, source: str, target: str, text: str = "", *, is_spare: bool = False) -> None:
        """One more edge."""
        self.edges.append(Edge(source, target, shown(text), is_spare))


def graph_of(plan: RunPlan) -> Graph:
    """All that the topology names."""
    graph = Graph(shown(plan.name))
    endpoint = plan.board.options.get("endpoint")
    board = graph.add(
        "board", Shape.BOARD, f"board {plan.board.type}", _task_text(plan), "SIMULATED" if plan.simulated else ""
    )
    ring = graph.add("ring", Shape.RING, "ring", _ring_text(plan))
    if isinstance(endpoint, str):
        insecure = "INSECURE LINK" if plan.board.options.get("insecure") else ""
        graph.join(graph.add("source", Shape.REMOTE, "another machine", endpoint, insecure), board, "samples")
    graph.join(board, ring, "blocks")
    journal = next((number for number, sink in enumerate(plan.sinks) if sink.is_journal), None)
    for number, sink in enumerate(plan.sinks):
        name = graph.add(f"sink{number}", Shape.SINK, *_sink_lines(sink))
        output = graph.add(f"output{number}", Shape.OUTPUT, sink.path or sink.target or "-")
        graph.join(ring, name, sink.policy.value)
        graph.join(name, output)
        if journal is not None and number != journal and sink.policy.value == "block":
            graph.join(f"output{journal}", name, "catches up from the journal", is_spare=True)
    if plan.limits:
        lines = [
            f"{limit.channel}: {side.word} {value:.12g} {limit.unit or ''}".rstrip()
            for limit in plan.limits
            for side, value in limit.limits()
        ]
        graph.join(ring, graph.add("limits", Shape.WATCHER, "limits", *lines), "watched")
    if plan.listen is not None:
        insecure = "INSECURE LINK" if plan.listen.insecure else ""
        graph.join(ring, graph.add("served", Shape.REMOTE, "other machines", plan.listen.endpoint, insecure), "served")
    return graph


def as_dot(plan: RunPlan) -> str:
    """For Graphviz: `dot -Tsvg`."""
    graph = graph_of(plan)
    shapes = {
        Shape.BOARD: "box3d",
        Shape.RING: "ellipse",
        Shape.SINK: "box",
        Shape.OUTPUT: "cylinder",
        Shape.WATCHER: "note",
        Shape.REMOTE: "house",
    }
    lines = [f"digraph {_quoted(graph.title)} {{", "  rankdir=LR;", f"  label={_quoted(graph.title)};"]
    for node in graph.nodes:
        label = r"\n".join(_in_quotes(line) for line in node.lines)
        lines.append(f'  {node.name} [shape={shapes[node.shape]}, label="{label}"];')
    for edge in graph.edges:
        style = ", style=dashed" if edge.is_spare else ""
        lines.append(f"  {edge.source} -> {edge.target} [label={_quoted(edge.text)}{style}];")
    return "\n".join([*lines, "}", ""])


def as_mermaid(plan: RunPlan) -> str:
    """For pages that draw Mermaid, such as those of code forges."""
    graph = graph_of(plan)
    around = {
        Shape.BOARD: ("[/", "/]"),
        Shape.RING: ("((", "))"),
        Shape.SINK: ("[", "]"),
        Shape.OUTPUT: ("[(", ")]"),
        Shape.WATCHER: (">", "]"),
        Shape.REMOTE: ("{{", "}}"),
    }
    lines = ["flowchart LR"]
    for node in graph.nodes:
        left, right = around[node.shape]
        lines.append(f'  {node.name}{left}"{"<br/>".join(map(_entities, node.lines))}"{right}')
    for edge in graph.edges:
        arrow = "-.->" if edge.is_spare else "-->"
        text = f'|"{_entities(edge.text)}"|' if edge.text else ""
        lines.append(f"  {edge.source} {arrow}{text} {edge.target}")
    return "\n".join([*lines, ""])


DRAWN: dict[str, Callable[[RunPlan], str]] = {"mermaid": as_mermaid, "dot": as_dot}


def _task_text(plan: RunPlan) -> str:
    task = plan.board.task
    if task is None:
        return "with its own task"
    return f"{len(task.channels)} channel{'s' if len(task.channels) != 1 else ''} at {task.rate_hz:g} Hz"


def _ring_text(plan: RunPlan) -> str:
    ring = plan.ring
    if ring.slots is not None:
        return f"{ring.slots} blocks"
    if ring.bytes is not None:
        return f"{ring.bytes} bytes"
    return "" if ring.seconds is None else spelled(ring.seconds)


def _sink_lines(sink: SinkPlan) -> list[str]:
    lines = [f"{sink.name}: {sink.type}"]
    if sink.is_journal:
        lines.append("journal")
    if sink.channels is not None:
        lines.append(f"channels {', '.join(sink.channels)}")
    if sink.every_s is not None:
        lines.append(f"a row for {spelled(sink.every_s)} ({sink.reduce})")
    if sink.split is not None:
        lines.append(f"a part after {sink.split}")
    if sink.trigger is not None:
        ahead, behind = spelled(sink.trigger.pre_s), spelled(sink.trigger.post_s)
        lines.append(f"when {sink.trigger.when}, from {ahead} before to {behind} after")
    return lines


def _in_quotes(text: str) -> str:
    """A backslash would begin one of Graphviz's own marks."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_in_quotes(text)}"'


def _entities(text: str) -> str:
    """Mermaid has entities for what is markup or its own syntax: letters, digits and little else stay as they are."""
    return "".join(
        char if char.isalnum() or char in " .,:/_-+=()" or ord(char) > 0x7F else f"#{ord(char)};" for char in text
    )
