"""A buffer that is not what its board said is no buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dtopipe.core.board_promises import broken_promise
from dtopipe.model.board_events import Taken

INT16 = np.dtype("int16")


@pytest.mark.parametrize(
    ("first", "codes", "status"),
    [
        (100, np.zeros((2, 5), np.int16), None),
        (140, np.zeros((2, 5), "<i2"), np.zeros((2, 5), np.int8)),
        (100, np.zeros((2, 10), np.int16)[:, ::2], None),
        (100, np.zeros((2, 0), np.int16), None),
    ],
)  # fmt: skip
def test_what_was_promised_is_taken(first: int, codes: Any, status: Any) -> None:
    assert broken_promise(Taken(first, codes, status), 100, 2, INT16) is None


@pytest.mark.parametrize(
    ("first", "codes", "status", "word"),
    [
        (100, np.zeros((2, 5), np.int32), None, "said int16 and gave int32"),
        (100, np.zeros((2, 5), np.float64), None, "said int16 and gave float64"),
        (100, np.zeros((2, 5), ">i2"), None, "said int16 and gave"),
        (100, np.zeros((1, 5), np.int16), None, "the shape (1, 5), and has 2 channels"),
        (100, np.zeros((5, 2), np.int16), None, "the shape (5, 2), and has 2 channels"),
        (100, np.zeros(5, np.int16), None, "the shape (5,), and has 2 channels"),
        (100, np.zeros((2, 5), np.int16), np.zeros((2, 4), np.int8), "sensor status of int8, (2, 4)"),
        (100, np.zeros((2, 5), np.int16), np.zeros((2, 5), np.int64), "sensor status of int64"),
        (99, np.zeros((2, 5), np.int16), None, "sample 99 once more, where 100 was to come"),
    ],
)  # fmt: skip
def test_what_was_not_promised_is_told(first: int, codes: Any, status: Any, word: str) -> None:
    found = broken_promise(Taken(first, codes, status), 100, 2, INT16)
    assert found is not None
    assert word in found[0]
    assert found[1]
