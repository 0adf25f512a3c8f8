"""Conditions: what may stand in one, and where it holds."""

from __future__ import annotations

import numpy as np
import pytest

from dtopipe.model.condition import condition_of
from dtopipe.model.formula import FormulaError

NAN = float("nan")


def holds(text: str, **inputs: list[float]) -> list[bool]:
    condition = condition_of(text)
    assert sorted(condition.names) == sorted(inputs)
    found: list[bool] = condition([np.array(inputs[name], np.float64) for name in condition.names]).tolist()
    return found


def test_comparisons_of_formulas_and_what_joins_them() -> None:
    assert holds("abs(tc1) > 60", tc1=[59.0, -61.0]) == [False, True]
    assert holds("10 < a <= 20", a=[10.0, 15.0, 20.0, 25.0]) == [False, True, True, False]
    assert holds("a > 1 and not b == 2 or a < -1", a=[2.0, 2.0, -2.0], b=[2.0, 3.0, 2.0]) == [False, True, True]
    assert holds("a * 2 >= b + pi", a=[2.0, 1.0], b=[0.0, 0.0]) == [True, False]


def test_what_is_null_decides_nothing() -> None:
    assert holds("a > 1", a=[NAN]) == [False]
    assert holds("not a > 1", a=[NAN]) == [False]
    assert holds("a > 1 or b > 1", a=[NAN, NAN], b=[2.0, 0.0]) == [True, False]
    assert holds("not (a > 1 and b > 1)", a=[NAN, NAN], b=[0.0, 2.0]) == [True, False]
    assert holds("sqrt(a) != 2", a=[-1.0, 1.0]) == [False, True]
    assert holds("1 / a > 0", a=[0.0, 1.0]) == [False, True]


def test_how_long_it_must_hold() -> None:
    assert condition_of("tc1 > 60").for_s == 0
    assert condition_of("tc1 > 60 for 500ms").for_s == 0.5
    assert condition_of(" tc1>60  for 2 min ").for_s == 120
    assert sorted(condition_of("b > a for 1h").names) == ["a", "b"]
    assert condition_of(" b > a for 1h ").text == "b > a for 1h"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no condition"), ("tc1", "compares nothing"), ("a > 1 and b", "compares nothing: 'b'"),
        ("1 > 2", "names no channel"), ("a = 3", "no condition at character"), ("a > 3 and", "no condition"),
        ("a > 1 for", "for how long"), ("a > 1 for 2", "needs a unit"), ("a > 1 for -2s", "cannot hold for -2s"),
        ("a > 1 for 2 parsecs", "needs a unit"), ("a > 1 for 1s for 2s", "no condition"),
        ("a in b", "compares nothing"),
        ("(a > 1) > 0", "may not have"), ("a.b > 1", "may not have"), ("sine(a) > 1", "no function 'sine'"),
        ("__import__('os').system('true') > 1", "may not have"), ("not " * 200 + "a > 1", "nested too deeply"),
        ("-" * 900 + "a > 1", "nested too deeply"), ("a > " + "1" * 5000, "longer than"), ("a\0 > 1", "no condition"),
        ("a > 9 ** 9 ** 9 ** 9", "cannot be worked out"),
    ],
)  # fmt: skip
def test_whatever_is_no_condition_is_refused_with_an_example(text: str, what: str) -> None:
    with pytest.raises(FormulaError, match=what) as refused:
        condition_of(text)
    assert refused.value.remedy or refused.value.unknown
