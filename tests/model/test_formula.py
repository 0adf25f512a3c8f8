"""Formulas: what may stand in one, and what it gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dtopipe.model.formula import FUNCTIONS, FormulaError, parsed


def worked_out(text: str, *inputs: list[float], **constants: float) -> list[float]:
    found: list[float] = parsed(text, constants)([np.array(each, np.float64) for each in inputs]).tolist()
    return found


def test_arithmetic_over_channels_and_named_numbers() -> None:
    assert worked_out("flux * area", [1.0, 2.0], area=0.5) == [0.5, 1.0]
    assert worked_out("(a + b) / 2 - -k", [1.0], [4.0], k=1) == [3.5]
    assert worked_out("a ** 2 % 5", [3.0]) == [4.0]
    assert worked_out("7 / 2 * a", [1.0]) == [3.5]
    assert worked_out("where(a > 1, sqrt(a), -1)", [4.0, 0.0]) == [2.0, -1.0]
    assert worked_out("sin(pi * a)", [0.5]) == [1.0]
    assert worked_out("a * k", [2.0], k=-3.5) == [-7.0]
    assert parsed("b * a + b", {}).names == ("b", "a")


def test_words_that_numexpr_keeps_for_itself_may_be_channels() -> None:
    assert worked_out("sum + re0 * True1", [1.0], [2.0], [3.0]) == [7.0]


def test_a_value_is_null_where_an_input_is_or_where_there_is_none() -> None:
    nan = float("nan")
    assert np.isnan(worked_out("a + b", [1.0, nan], [nan, 1.0])).all()
    assert np.isnan(worked_out("where(a > 0, 1, b)", [1.0], [nan])).all()
    assert np.isnan(worked_out("1 / a", [0.0])).all()
    assert np.isnan(worked_out("log(a)", [-1.0])).all()


@pytest.mark.parametrize(
    "text",
    [
        "", "1 +", "flux *", "1 + 2", "a.b", "a[0]", "lambda: a", "[a]", "(a, b)", "a if a else b", "a and b", "not a",
        "'x' * a", "f'{a}'", "a := 3", "a; b", "True * a", "1j * a", "a < b", "a @ b", "a // b", "a << 2", "~a",
        "__import__('os').system('true')", "open('x')", "a.__class__", "sine(a)", "sin(a, b)", "sin(x=a)", "sin(*a)",
        "where(a, b, c)", "where(a < b < c, 1, 2)", "1e999 * a", "9 ** 9 ** 9 ** 9 * a", "a" * 5000, "-" * 500 + "a",
        "a\0", "(" * 300 + "a" + ")" * 300 + "(", "ä ö",
    ],
)  # fmt: skip
def test_whatever_is_no_arithmetic_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(FormulaError):
        parsed(text, {})


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name not in ("where", "arctan2")])
def test_a_value_does_not_depend_on_how_many_are_worked_out_at_once(function: str) -> None:
    chance = np.random.default_rng(7)
    a, b = chance.normal(0, 3, 10_007), chance.normal(1, 2, 10_007)
    formula = parsed(f"{function}(a) + arctan2(a, b) ** 1.7 - where(a > b, a % 3, b / a)", {})
    whole = formula([a, b])
    cuts = [0, *sorted(chance.integers(0, 10_007, 40).tolist()), 10_007]
    parts = [formula([a[low:high], b[low:high]]) for low, high in pairwise(cuts)]
    assert np.array_equal(np.concatenate(parts), whole, equal_nan=True)
    # Nor on where in memory they lie.
    assert np.array_equal(formula([a[1:].copy(), b[1:]]), whole[1:], equal_nan=True)
