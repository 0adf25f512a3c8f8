"""Conditions over channels, as triggers have them: `abs(tc1) > 60 for 1s`.

A comparison of formulas; several of them with `and`, `or`, `not`. Each is worked out as `dtopipe.model.formula` does
it, and nothing of a condition is ever run as Python. Where a value is null, a comparison is neither true nor false, and
what it decides is not so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.formula import FormulaError, parsed

_EXAMPLE = 'such as when: "tc1 > 60 for 1s"'
_LONGEST = 4096
_DEEPEST = 50
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_WITH_TIME = re.compile(r"(?s)(?P<comparison>.*)\bfor\b(?P<time>.*)")

Bools: TypeAlias = NDArray[np.bool_]
# Where it is true, and where it is false; neither where a value is null.
_Known: TypeAlias = tuple[Bools, Bools]


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold, and for how long on end, in seconds, until it counts; 0: at once.

    `text`: the whole of it, as it was written. `names`: the channels that it needs, in the order of its inputs.
    """

    text: str
    for_s: float
    names: tuple[str, ...]
    _root: _Node

    def __call__(self, inputs: Sequence[NDArray[np.float64]]) -> Bools:
        """(n,) where it holds, of the (n,) values of each of `names`, NaN where there is none."""
        return self._root.known(dict(zip(self.names, inputs, strict=True)))[0]


def condition_of(text: str) -> Condition:
    """The condition of this text. Raises FormulaError."""
    if len(text) > _LONGEST:
        raise FormulaError(f"is longer than {_LONGEST} characters", "make a channel with a formula of a part of it")
    comparison, for_s = _without_time(text)
    try:
        tree = ast.parse(comparison.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = getattr(error, "offset", None)
        where = f" at character {at}" if at else ""
        hint = ", with == for equal" if re.search(r"[^=<>!]=[^=]", comparison) else ""
        raise FormulaError(f"is no condition{where}: {text!r}", f"{_EXAMPLE}{hint}") from error
    root = _node(tree, 0)
    return Condition(text.strip(), for_s, tuple(dict.fromkeys(root.names)), root)


def _without_time(text: str) -> tuple[str, float]:
    found = _WITH_TIME.fullmatch(text)
    if found is None:
        return text, 0.0
    # pydantic, which takes longer to import than most commands to run.
    from dtopipe.model.quantities import seconds

    time = found["time"].strip()
    if not time:
        raise FormulaError("does not say for how long", _EXAMPLE)
    if time.startswith("-"):
        raise FormulaError(f"cannot hold for {time}", _EXAMPLE)
    try:
        return found["comparison"], seconds(time)
    except ValueError as error:
        raise FormulaError(f"{error}", _EXAMPLE) from error


class _Node:
    """A part of a condition."""

    names: tuple[str, ...]

    def known(self, inputs: dict[str, NDArray[np.float64]]) -> _Known:
        raise NotImplementedError


class _Comparison(_Node):
    def __init__(self, left: ast.expr, sign: str, right: ast.expr) -> None:
        one, other = ast.unparse(left), ast.unparse(right)
        # What has no number is null, also on a side that is not an input: nought times it is none either.
        self._formula = parsed(f"where(({one}) {sign} ({other}), 1, 0) + 0 * ({one}) + 0 * ({other})", {})
        self.names = self._formula.names

    def known(self, inputs: dict[str, NDArray[np.float64]]) -> _Known:
        found = self._formula([inputs[name] for name in self.names])
        return found == 1, found == 0


class _Not(_Node):
    def __init__(self, part: _Node) -> None:
        self._part = part
        self.names = part.names

    def known(self, inputs: dict[str, NDArray[np.float64]]) -> _Known:
        is_true, is_false = self._part.known(inputs)
        return is_false, is_true


class _All(_Node):
    def __init__(self, parts: Sequence[_Node]) -> None:
        self._parts = parts
        self.names = tuple(name for part in parts for name in part.names)

    def known(self, inputs: dict[str, NDArray[np.float64]]) -> _Known:
        found = [part.known(inputs) for part in self._parts]
        return np.logical_and.reduce([each for each, _ in found]), np.logical_or.reduce([each for _, each in found])


def _node(node: ast.expr, depth: int) -> _Node:
    """Raises FormulaError unless this is a condition."""
    if depth > _DEEPEST:
        raise FormulaError("is nested too deeply", "make a channel with a formula of a part of it")
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return _All([_node(each, depth + 1) for each in values])
        case ast.BoolOp(op=ast.Or(), values=values):
            return _Not(_All([_Not(_node(each, depth + 1)) for each in values]))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _Not(_node(operand, depth + 1))
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(type(op) in _SIGNS for op in ops):
            sides = pairwise([left, *rest])
            found = [_comparison(one, _SIGNS[type(op)], other) for op, (one, other) in zip(ops, sides, strict=True)]
            return found[0] if len(found) == 1 else _All(found)
        case _:
            raise FormulaError(f"compares nothing: {ast.unparse(node)!r}", _EXAMPLE)


def _comparison(left: ast.expr, sign: str, right: ast.expr) -> _Comparison:
    try:
        return _Comparison(left, sign, right)
    except RecursionError as error:
        raise FormulaError("is nested too deeply", "make a channel with a formula of a part of it") from error
    except FormulaError as error:
        remedy = error.remedy if "formula:" not in error.remedy else _EXAMPLE
        raise FormulaError(error.message, remedy, error.unknown) from error
