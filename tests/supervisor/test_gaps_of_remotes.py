"""What other machines say that they lack: on record at the source, and no more of it than can be true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import LISTEN, Bench

from dtopipe.model.span import Cause, Gap, Span
from dtopipe.wire.messages import RemoteGaps

MOST = 50_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, own={"listen": LISTEN})
    yield bench
    bench.close()


def tell(bench: Bench, spans: list[tuple[int, int]]) -> None:
    gaps = tuple(Gap(Span(start, stop), Cause.TRANSPORT, 5) for start, stop in spans)
    bench.says("gateway.0", RemoteGaps("office", gaps))


def test_what_lies_beyond_the_run_is_not_believed(bench: Bench) -> None:
    bench.run()
    bench.publish(1)
    tell(bench, [(0, 10), (90, 101), (90, 100), (2**40, 2**41)])
    assert [(name, gap.span) for name, gap in bench.gaps.found] == [
        ("remote:office", Span(0, 10)), ("remote:office", Span(90, 100)),
    ]  # fmt: skip


def test_nobody_fills_a_disk_with_what_it_lacks(bench: Bench) -> None:
    bench.run()
    assert bench.writer is not None
    bench.writer.record_gap(Gap(Span(0, 10**9), Cause.BOARD_OVERRUN, 5))
    for first in range(0, MOST + 3000, 1000):
        tell(bench, [(at, at + 1) for at in range(first, first + 1000)])
    assert len(bench.gaps.found) == MOST
