"""What other machines say that they lack: on record at the source, and no more of it than can be true."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dtopipe.model.span import Cause, Gap, Span
from dtopipe.supervisor.gateway import Gateway
from dtopipe.wire.messages import RemoteGaps

MOST = 50_000


class Ledger:
    """Instead of `gaps.jsonl`."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Gap]] = []

    def append(self, name: str, gaps: list[Gap]) -> None:
        self.found += [(name, gap) for gap in gaps]


def gateway_of(end_sample_index: int) -> tuple[Gateway, Ledger]:
    ledger = Ledger()
    run: Any = SimpleNamespace(
        plan=SimpleNamespace(listen=None), end_sample_index=end_sample_index, gaps=ledger, phase=None
    )
    return Gateway(run), ledger


def tell(gateway: Gateway, spans: list[tuple[int, int]]) -> None:
    gaps = tuple(Gap(Span(start, stop), Cause.TRANSPORT, 5) for start, stop in spans)
    gateway.hear(RemoteGaps("office", gaps))


def test_what_lies_beyond_the_run_is_not_believed() -> None:
    gateway, ledger = gateway_of(100)
    tell(gateway, [(0, 10), (90, 101), (90, 100), (2**40, 2**41)])
    assert [(name, gap.span) for name, gap in ledger.found] == [
        ("remote:office", Span(0, 10)), ("remote:office", Span(90, 100)),
    ]  # fmt: skip


def test_nobody_fills_a_disk_with_what_it_lacks() -> None:
    gateway, ledger = gateway_of(10**9)
    for first in range(0, MOST + 3000, 1000):
        tell(gateway, [(at, at + 1) for at in range(first, first + 1000)])
    assert len(ledger.found) == MOST
