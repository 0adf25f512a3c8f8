"""A mark says when and what, and comes back from what it was written as."""

from __future__ import annotations

import pytest

from dtopipe.model.errors import UsageError
from dtopipe.model.facts import Misfit
from dtopipe.model.marks import LONGEST_LABEL, Mark, checked_label, checked_text

MARK = Mark(
    1, "Zündung", 20_000, 5_000_000_123, 1_795_910_460_000_000_456, "valve 3", "ada@lab", 1_795_910_463_000_000_000
)


def test_a_mark_comes_back_from_its_json() -> None:
    assert Mark.from_json(MARK.to_json()) == MARK
    assert MARK.to_json()["t_utc"].endswith("000456Z")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"number": 0}, {"number": "1"}, {"label": ""}, {"label": "a\nb"}, {"label": "x" * 101}, {"sample_index": -1},
        {"sample_index": 1.5}, {"t_utc": "yesterday"}, {"t_mono_ns": None}, {"text": 7}, {"by": "x" * 201},
        {"set_at": 12},
    ],
)  # fmt: skip
def test_what_is_no_mark_is_not_taken_for_one(spoilt: dict[str, object]) -> None:
    with pytest.raises(Misfit):
        Mark.from_json({**MARK.to_json(), **spoilt})


@pytest.mark.parametrize(
    "label", ["", "  ", "\n", "two\nlines", "\x1b[31mred", "tab\there", "\u202eright", "x" * (LONGEST_LABEL + 1)]
)
def test_a_label_that_cannot_be_shown_is_refused_with_the_way_out(label: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked_label(label)
    assert refused.value.remedy
    assert "\x1b" not in str(refused.value)


def test_labels_in_any_language_are_taken() -> None:
    for label in ("ignition", "Zündung", "点火", "T = 20 °C", "a\u00a0b"):
        assert checked_label(f" {label} ") == label


def test_a_text_may_have_lines_and_nothing_that_steers() -> None:
    assert checked_text("valve 3\r\nslowly\n") == "valve 3\nslowly"
    for text in ("\x1b]0;", "a\x00b", "x" * 2001):
        with pytest.raises(UsageError):
            checked_text(text)
