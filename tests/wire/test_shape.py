"""What is let through to a parser: whatever we send, and nothing that says that it has more than it has."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.model.errors import WireError
from dtopipe.model.plan import SinkPlan
from dtopipe.model.position import Position
from dtopipe.wire.control import decode
from dtopipe.wire.plans import describe_sink, sink_from
from dtopipe.wire.shape import ensure_fields, ensure_modest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=40,
)  # fmt: skip


@given(VALUES)
def test_what_msgpack_packs_is_let_through(value: Any) -> None:
    ensure_modest(msgpack.packb(value))


@pytest.mark.parametrize("length", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_every_form_of_a_length_is_known(length: int) -> None:
    for value in ("x" * length, b"x" * length, [0] * length, dict.fromkeys(range(length), 0)):
        frame = msgpack.packb(value)
        ensure_modest(frame)
        with pytest.raises(WireError):
            ensure_modest(frame[:-1])
    ensure_modest(msgpack.packb(msgpack.ExtType(5, b"x" * length)))


def test_what_says_more_than_it_has_costs_next_to_nothing() -> None:
    frame = b"\x81\xa1a" + (b"\xdd" + (99_999).to_bytes(4, "big")) * 1000
    tracemalloc.start()
    for deep in (frame, b"\x91" * 30_000, b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xdb\xff\xff\xff\xff"):
        with pytest.raises(WireError):
            decode(deep)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_of_any_bytes_nothing_comes_but_a_wire_error() -> None:
    chance = random.Random(3)
    for _ in range(20_000):
        frame = chance.randbytes(chance.randrange(40))
        try:
            ensure_modest(frame)
        except WireError:
            continue
        # What is let through has as much as it says.
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
        unpacker.feed(frame)
        try:
            unpacker.skip()
        except ValueError:
            # The one byte that msgpack never uses.
            assert 0xC1 in frame


def sink(**changes: Any) -> dict[str, Any]:
    return {**describe_sink(SinkPlan("table", "csv", "t.csv", channels=("a",))), **changes}


def test_a_sink_is_made_of_what_it_should_be_made_of() -> None:
    assert sink_from(sink()) == SinkPlan("table", "csv", "t.csv", channels=("a",), restart=sink_from(sink()).restart)
    wrongs: list[dict[str, Any]] = [
        {"path": 7}, {"name": [1]}, {"type": None}, {"flush_interval_s": "1s"}, {"essential": 1}, {"channels": [7]},
        {"channels": "ab", "sync_s": True}, {"options": 5}, {"restart": {"max_restarts": "x"}}, {"more": 1},
        {"queue_blocks": 2.5}, {"policy": []},
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(WireError):
            sink_from(sink(**wrong))


def test_numbers_are_numbers_and_truth_values_are_none() -> None:
    ensure_fields(Position(0, 1, 1))
    for wrong in ("1", None, 1.5, True):
        with pytest.raises(WireError):
            ensure_fields(Position(0, wrong, 1))  # type: ignore[arg-type]


def test_a_request_has_no_more_values_than_it_may() -> None:
    frame = msgpack.packb({"kind": "x", "a": [None] * 9000})
    assert decode(frame).kind == "x"
    with pytest.raises(WireError, match="too many values"):
        decode(frame, 8192)
