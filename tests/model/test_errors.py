"""An error says what is wrong and the way out, each in a field of its own; its text has both."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dtopipe
from dtopipe.model import errors
from dtopipe.model.errors import BoardError, DtopipeError, Problem, SinkError, TopologyError, UsageError

PACKAGE = Path(dtopipe.__file__).parent


@pytest.mark.parametrize(
    ("error", "headline", "remedy"),
    [
        (UsageError("there is no run 'x'", "dtopipe runs"), "there is no run 'x'", "dtopipe runs"),
        (UsageError("there is no run 'x'"), "there is no run 'x'", ""),
        (BoardError("box", "no answer", "plug it in"), "board box: no answer", "plug it in"),
        (SinkError("/x/a.csv", "no space", "free some"), "/x/a.csv: no space", "free some"),
        (SinkError(None, "no space"), "no space", ""),
        (TopologyError([Problem(None, "ring", "too small", "enlarge it")]), "ring: too small\n    enlarge it", ""),
    ],
    ids=str,
)  # fmt: skip
def test_the_text_of_an_error_is_its_headline_and_below_it_the_way_out(
    error: DtopipeError, headline: str, remedy: str
) -> None:
    assert (error.headline, error.remedy) == (headline, remedy)
    assert str(error) == headline + (f"\n    {remedy}" if remedy else "")
    assert error.args == (str(error),)


def test_every_family_of_errors_has_both_fields() -> None:
    families = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, DtopipeError)]
    plain = [each for each in families if each.__init__ is DtopipeError.__init__]
    assert len(plain) > 8
    for family in plain:
        assert (family("a", "b").message, family("a", "b").remedy, str(family("a", "b"))) == ("a", "b", "a\n    b")


def test_no_error_of_ours_hides_the_way_out_in_its_message() -> None:
    hidden = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            family = getattr(errors, node.func.id, None)
            if isinstance(family, type) and issubclass(family, DtopipeError):
                texts = [each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)]
                if any(isinstance(text, str) and "\n    " in text for text in texts):
                    hidden.append(f"{path.name}:{node.lineno}")
    assert not hidden
