"""The headroom that a run shows: of its journal, for those that read from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from parts import BLOCK, LISTEN, RATE_HZ, Bench, S, journal, sink

from dtopipe.wire.messages import HoldAsked, RemoteFacts, RemotesServed

Make = Callable[..., Bench]
RETIRES = {"segment": 2**20, "retention": {"until": "durable"}}


def _headroom(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = bench.status.snapshot()["headroom"]
    return found


def _seen(bench: Bench, wait_for: Callable[..., None]) -> None:
    """Until the journal's disk was looked at."""

    def is_seen() -> bool:
        bench.disks.look(bench.now_ns)
        return bench.disks.room_for_journal_s() is not None

    wait_for(is_seen)


def test_those_that_the_journal_covers_may_stop_until_its_disk_is_full(
    a_bench: Make, wait_for: Callable[..., None]
) -> None:
    bench = a_bench(journal(), sink("table"))
    bench.run()
    assert "journal" not in _headroom(bench)
    _seen(bench, wait_for)
    room_s = bench.disks.room_for_journal_s()
    assert room_s
    # Two channels of two bytes each, and what belongs to a block.
    free_bytes = bench.disks.facts[0]["free_bytes"] - bench.disks.facts[0]["reserve_bytes"]
    assert 0 < room_s < free_bytes / (4 * RATE_HZ)
    bench.publish(3)
    bench.commit("raw", 3 * BLOCK)
    bench.commit("table", BLOCK)
    bench.turn()
    found = _headroom(bench)["journal"]
    assert found["of_s"] - found["left_s"] == pytest.approx(2 * BLOCK / RATE_HZ, abs=0.01)


def test_without_a_reader_a_journal_has_no_headroom(a_bench: Make, wait_for: Callable[..., None]) -> None:
    bench = a_bench(journal())
    bench.run()
    _seen(bench, wait_for)
    assert "journal" not in _headroom(bench)


def test_a_machine_that_is_away_is_kept_for_until_it_is_forgotten(a_bench: Make, wait_for: Callable[..., None]) -> None:
    bench = a_bench(journal(options=RETIRES), listen=LISTEN)
    bench.run()
    _seen(bench, wait_for)
    bench.says("gateway.0", HoldAsked("one", 0))
    here = RemoteFacts("one", "office", "", "10.0.0.7", "block", 5, 3, 0, away=False, finished=False)
    bench.says("gateway.0", RemotesServed((here,), 0))
    assert bench.gateway.forgotten_in_s(bench.now_ns) is None
    away = RemoteFacts("one", "office", "", "10.0.0.7", "block", 5, 3, 0, away=True, finished=False)
    bench.says("gateway.0", RemotesServed((away,), 0))
    # An hour, of which it has been silent for ten seconds before it was away.
    assert _headroom(bench)["journal"]["left_s"] == pytest.approx(3590.0, abs=30.0)
    later_s = bench.gateway.forgotten_in_s(bench.now_ns + 1000 * S)
    assert later_s == pytest.approx(2590.0, abs=30.0)
    bench.says("gateway.0", RemotesServed((here,), 0))
    assert bench.gateway.forgotten_in_s(bench.now_ns) is None
