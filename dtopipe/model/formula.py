"""Formulas over channels: read by Python's own parser, held to arithmetic, worked out by numexpr.

Nothing of a formula is ever run as Python: what is not a number, a name, an operator or a function of the list below is
refused before numexpr sees it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FUNCTIONS = (
    "abs", "arccos", "arcsin", "arctan", "arctan2", "ceil", "cos", "cosh", "exp", "expm1", "floor", "log", "log10",
    "log1p", "sin", "sinh", "sqrt", "tan", "tanh", "where",
)  # fmt: skip
CONSTANTS = {"pi": np.pi}
_ARGUMENTS = {"arctan2": 2, "where": 3}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.Mod, ast.UAdd, ast.USub)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_LONGEST = 4096
# Deeper ones are no formulas that anybody wrote.
_DEEPEST = 100
_MOST = 1e300


class FormulaError(ValueError):
    """What is wrong with a formula, in words, and the way out."""

    def __init__(self, message: str, remedy: str = "", unknown: str = "") -> None:
        self.message = message
        self.remedy = remedy
        self.unknown = unknown
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Formula:
    """Arithmetic over channels. `names`: those of the channels that it needs, in order."""

    text: str
    names: tuple[str, ...]
    constants: tuple[tuple[str, float], ...]

    def __call__(self, inputs: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """(n,) values of the (n,) values of each of `names`; NaN where one of these is, or where there is no number."""
        with np.errstate(all="ignore"):
            values = np.array(_compiled(self)(*inputs), np.float64)
        for each in inputs:
            # `where` would pass an absent value over.
            values[np.isnan(each)] = np.nan
        values[~np.isfinite(values)] = np.nan
        return values


def parsed(text: str, constants: Mapping[str, float]) -> Formula:
    """The formula of this text, with these names for numbers. Raises FormulaError."""
    if len(text) > _LONGEST:
        raise FormulaError(f"is longer than {_LONGEST} characters", "make two channels of it")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = getattr(error, "offset", None)
        where = f" at character {at}" if at else ""
        raise FormulaError(f"is no formula{where}: {text!r}", _EXAMPLE) from error
    _check(tree.body, 0)
    given = {**CONSTANTS, **constants}
    names = tuple(dict.fromkeys(node.id for node in _variables(tree.body) if node.id not in given))
    if not names:
        raise FormulaError("names no channel", _EXAMPLE)
    formula = Formula(text.strip(), names, tuple(sorted((name, float(value)) for name, value in given.items())))
    try:
        _compiled(formula)
    except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
        # Its numbers alone are worked out now.
        raise FormulaError(f"cannot be worked out: {error}", _EXAMPLE) from error
    return formula


_EXAMPLE = 'such as formula: "flux * area", with: {area: 0.01}'


def _variables(tree: ast.expr) -> list[ast.Name]:
    calls = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in calls]


def _check(node: ast.expr, depth: int) -> None:
    """Raises FormulaError unless this is arithmetic."""
    if depth > _DEEPEST:
        raise FormulaError("is nested too deeply", "make two channels of it")
    parts: list[ast.expr]
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and value < _MOST:
            parts = []
        case ast.Name():
            parts = []
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATORS):
            parts = [left, right]
        case ast.UnaryOp(op=op, operand=operand) if isinstance(op, _OPERATORS):
            parts = [operand]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            _check_call(name, args)
            is_choice = name == "where"
            if is_choice:
                _check_condition(args[0], depth + 1)
            parts = args[1:] if is_choice else args
        case _:
            raise FormulaError(f"may not have {_shown(node)}", f"use numbers, + - * / ** %, and {', '.join(FUNCTIONS)}")
    for part in parts:
        _check(part, depth + 1)


def _check_call(name: str, args: Sequence[ast.expr]) -> None:
    if name not in FUNCTIONS:
        raise FormulaError(f"there is no function {name!r}", unknown=name)
    wanted = _ARGUMENTS.get(name, 1)
    if len(args) != wanted:
        raise FormulaError(f"{name} takes {wanted} argument{'s' if wanted > 1 else ''}, not {len(args)}", _EXAMPLE)


def _check_condition(node: ast.expr, depth: int) -> None:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, _COMPARISONS):
            _check(left, depth)
            _check(right, depth)
        case _:
            what = f"where needs a comparison first, not {_shown(node)}"
            raise FormulaError(what, "such as where(flux > 0, flux, 0)")


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 40 else text[:37] + "...")


class _AsFloats(ast.NodeTransformer):
    """Whole numbers would be divided and multiplied as such; constants get their numbers."""

    def __init__(self, constants: Mapping[str, float]) -> None:
        self._constants = constants

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Constant(float(node.value))  # type: ignore[arg-type]

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return ast.Call(node.func, [self.visit(each) for each in node.args], [])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self._constants.get(node.id)
        if value is None:
            return node
        return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


@lru_cache(maxsize=256)
def _compiled(formula: Formula) -> Any:
    # Imported where it is needed: most runs have no formula.
    import numexpr

    # A worker has its own core; more threads would take those of others, and each is one more to be killed over.
    numexpr.set_num_threads(1)
    tree = _AsFloats(dict(formula.constants)).visit(ast.parse(formula.text, mode="eval"))
    # Names of channels may be words that numexpr keeps for itself.
    numbered = _Numbered(formula.names).visit(tree)
    signature = [(f"x{number}", np.float64) for number in range(len(formula.names))]
    return numexpr.NumExpr(ast.unparse(numbered), signature)


class _Numbered(ast.NodeTransformer):
    """Channels by their places among the inputs."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {name: f"x{number}" for number, name in enumerate(names)}

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return ast.Call(node.func, [self.visit(each) for each in node.args], [])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self._names[node.id])
