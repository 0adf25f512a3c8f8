"""The messages of a run in a log, as PROTOCOL.md specifies them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import block, gap, recorded

from dtopipe.model.errors import WireError
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.wire.log_messages import (
    Description,
    LogHead,
    LogKind,
    decode_description,
    decode_marks,
    encode_description,
    encode_marks,
    head_of,
    message_id,
    name_of,
    subject_of,
    token,
)

HEAD = LogHead(LogKind.ITEMS, "run-1", 100, Position(50, 400, 400, 330, 20, 5), 7, 8, 9, 100, (2, 3))


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_names_never_meet_and_every_name_comes_back(one: str, other: str) -> None:
    with_no_halves = one.encode(errors="replace").decode()
    if with_no_halves != one or other.encode(errors="replace").decode() != other:
        return
    assert name_of(token(one)) == one
    assert (token(one) == token(other)) == (one == other)
    assert not set(token(one)) & set(" .*>\t\r\n")
    assert token(one)


def test_a_subject_has_three_parts_whatever_names_say() -> None:
    assert subject_of("heat-flux", "simulated") == "dtopipe.heat-flux.simulated"
    assert subject_of("a.b", "*>") == "dtopipe.a%2Eb.%2A%3E"
    assert subject_of("", "\u00e4 ~") == "dtopipe.%.%C3%A4%20%7E"


def test_headers_say_what_a_message_is() -> None:
    assert head_of(HEAD.headers()) == HEAD
    assert HEAD.headers()["Dtopipe-Position"] == "50 400 330 20 5"
    assert HEAD.headers()["Dtopipe-Log"] == "7 8 9 100"
    whole = replace(HEAD, piece=(1, 1))
    assert "Dtopipe-Piece" not in whole.headers()
    assert head_of(whole.headers()) == whole


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Dtopipe-Version", "2"), ("Dtopipe-Kind", "rows"), ("Dtopipe-Run", "no id/"), ("Dtopipe-From", "-1"),
        ("Dtopipe-From", "401"), ("Dtopipe-Position", "50 400 330 20"), ("Dtopipe-Position", "50 400 331 20 5"),
        ("Dtopipe-Log", "7 8 -9 100"), ("Dtopipe-Log", "7 8 9"), ("Dtopipe-Piece", "4/3"), ("Dtopipe-Piece", "0/3"),
    ],
)  # fmt: skip
def test_headers_that_cannot_be_are_refused(header: str, value: str) -> None:
    with pytest.raises(WireError):
        head_of({**HEAD.headers(), header: value})


@pytest.mark.parametrize("headers", [None, {}, {"Other": "1"}, {"Dtopipe-Kind": "items"}])
def test_a_message_of_somebody_else_is_none_of_ours(headers: dict[str, str] | None) -> None:
    with pytest.raises(WireError):
        head_of(headers)


@pytest.mark.parametrize("n_channels", [2, 500])
def test_a_run_is_described_as_it_is_however_long_that_is(n_channels: int) -> None:
    stream = recorded([f"channel {number}" for number in range(n_channels)])
    payload, headers = encode_description(Description(stream, {"host": "lab"}))
    found = decode_description(payload, headers)
    assert (found.stream, dict(found.facts)) == (stream, {"host": "lab"})
    assert (headers == {}) == (n_channels == 2)
    assert len(payload) < 2**16


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b'{"stream": 3}', b"[" * 100_000])
def test_a_description_that_cannot_be_read_is_refused(payload: bytes) -> None:
    for headers in ({}, {"Dtopipe-Encoding": "zlib"}):
        with pytest.raises(WireError):
            decode_description(payload, headers)


def test_marks_come_back() -> None:
    marks = [Mark(n, f"m {n}", 10 * n, n, 10**18 + n, "text", "ada@lab", 10**18) for n in (1, 2)]
    assert decode_marks(encode_marks(marks)) == marks
    with pytest.raises(WireError):
        decode_marks(json.dumps({"marks": [{}]}).encode())


def test_a_message_has_an_id_of_its_samples_its_epoch_and_its_subject() -> None:
    stream = recorded()
    items: list[Block | Gap] = [block(stream, 100, 200), gap(stream, 200, 250)]
    found = message_id("run-1", "dtopipe.a.b", items)
    assert found == message_id("run-1", "dtopipe.a.b", [*items])
    assert found.startswith("run-1.")
    assert found.endswith(".0.100-250")
    assert message_id("run-1", "dtopipe.a.c", items) != found
    assert message_id("run-1", "dtopipe.a.b", items[:1]) != found
    assert message_id("run-1", "dtopipe.a.b", items[1:]).endswith(".gap.200-250")
