"""What was said of a run before is kept, with when and by whom it was changed."""

from __future__ import annotations

import pytest

from dtopipe.core.metadata_changes import MetadataChanges, changed_metadata, metadata_of
from dtopipe.model.errors import UsageError

BEFORE = MetadataChanges({"sample": "A7", "n": 3})


def test_only_what_is_new_is_a_change() -> None:
    assert changed_metadata(BEFORE, {"sample": "A7", "n": 3}, "t1", "ada") is BEFORE
    after = changed_metadata(BEFORE, {"sample": "A8", "n": 3, "note": ""}, "t1", "ada")
    assert after.values == {"sample": "A8", "n": 3, "note": ""}
    assert after.changes == (
        {"key": "sample", "was": "A7", "at": "t1", "by": "ada"}, {"key": "note", "at": "t1", "by": "ada"},
    )  # fmt: skip
    again = changed_metadata(after, {"sample": "A7"}, "t2", "bob")
    assert again.changes[-1] == {"key": "sample", "was": "A8", "at": "t2", "by": "bob"}
    assert len(again.changes) == 3


def test_a_record_without_any_is_read() -> None:
    assert metadata_of({}) == MetadataChanges({})
    assert metadata_of({"metadata": {"a": 1}, "metadata_changes": "odd"}) == MetadataChanges({"a": 1})


@pytest.mark.parametrize(
    "values",
    [
        {"": "x"}, {"a\nb": "x"}, {"\u202e": "x"}, {"k" * 201: "x"}, {"sample": None}, {"sample": "x" * 20_001},
        {"sample": "a\0b"}, {"sample": object()},
    ],
)  # fmt: skip
def test_what_none_can_have_is_refused_with_the_way_out(values: dict[str, object]) -> None:
    with pytest.raises(UsageError) as refused:
        changed_metadata(BEFORE, values, "t", "ada")
    assert refused.value.remedy
