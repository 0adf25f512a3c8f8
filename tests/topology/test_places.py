"""YAML becomes plain values, each with its place."""

from __future__ import annotations

import contextlib
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.model.errors import Place, TopologyError
from dtopipe.topology.source_locations import parse_value, parse_yaml


def test_every_key_and_item_has_its_line_and_column() -> None:
    placed = parse_yaml("board:\n  type: x\ntask:\n  channels:\n    - {name: flux, 'unit': V}\n    - 5\n", "f.yaml")
    assert placed.document == {"board": {"type": "x"}, "task": {"channels": [{"name": "flux", "unit": "V"}, 5]}}
    assert {key: (place.line, place.column) for key, place in placed.places.items() if key} == {
        "board": (1, 1),
        "board.type": (2, 3),
        "task": (3, 1),
        "task.channels": (4, 3),
        "task.channels[0]": (5, 7),
        "task.channels[0].name": (5, 8),
        "task.channels[0].unit": (5, 20),
        "task.channels[1]": (6, 7),
    }
    assert str(placed.places["board.type"]) == "f.yaml:2:3"
    assert str(Place("--set board.type", 0, 0)) == "--set board.type"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("true", True), ("False", False), ("~", None), ("", None),
        ("010", 10), ("1_000", 1000), ("-5", -5), ("1:30", "1:30"), ("0x1F", "0x1F"), ("1e3", 1000.0), ("1.", 1.0),
        (".5", 0.5), ("-1.5e-3", -0.0015), (".inf", math.inf), ("2026-11-23", "2026-11-23"), ("10s", "10s"),
        ("温度", "温度"), ('"a, \\"b\\""', 'a, "b"'), ("[1, no]", [1, "no"]), ("{a: [x]}", {"a": ["x"]}),
    ],
)  # fmt: skip
def test_values_are_what_they_look_like(text: str, value: Any) -> None:
    assert parse_yaml(f"key: {text}\n", "f").document["key"] == value
    assert type(parse_value(text, "--set key")) is type(value)
    assert parse_value(text, "--set key") == value


def test_an_alias_stands_for_values_of_its_own() -> None:
    document = parse_yaml("a: &a {x: 1}\nb: *a\n", "f").document
    document["b"]["x"] = 2
    assert document["a"] == {"x": 1}


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "{a: {b: 1, b: 2}}"])
def test_a_key_that_stands_twice_is_a_mistake(text: str) -> None:
    (problem,) = parse_yaml(text, "f").problems
    assert problem.message == "stands here a second time"
    # The first one counts, for what else is wrong.
    assert "2" not in str(parse_yaml(text, "f").document)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_reason(data: bytes) -> None:
    with contextlib.suppress(TopologyError):
        assert isinstance(parse_yaml(data, "f").document, dict)


def test_a_mapping_takes_over_what_it_does_not_say_itself() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {z: 4, <<: [{x: 5}, *a]}\nd: {'<<': 6}\ne: {<<: {y: 7, <<: *a}}\n"
    placed = parse_yaml(text, "f.yaml")
    assert placed.problems == []
    assert placed.document == {
        "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 5, "y": 2, "z": 4}, "d": {"<<": 6},
        "e": {"y": 7, "x": 1},
    }  # fmt: skip
    assert placed.places["b.x"] == Place("f.yaml", 1, 8)
    assert placed.places["b.y"] == Place("f.yaml", 2, 13)


def test_what_takes_over_itself_or_grows_without_end_is_refused() -> None:
    lines = [f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 40)}]}}" for before, name in pairwise("abcdefg")]
    for text in ("a: &a {<<: *a}\n", "\n".join(["a: &a {b: {c: 1}}", *lines])):
        with pytest.raises(TopologyError, match="alias"):
            parse_yaml(text, "f.yaml")
