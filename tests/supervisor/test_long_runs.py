"""What a month of clock pairs, gaps and deaths leaves in the supervisor."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dtopipe.core import absence
from dtopipe.supervisor import lines

_BENCH = Path(__file__).parents[2] / "scripts" / "dev" / "bench_status.py"


@pytest.fixture
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("bench_status", _BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for their module there.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


def test_neither_memory_nor_status_grow_with_the_run(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bounds that are reached sooner.
    monkeypatch.setattr(absence, "MOST_KEPT", 100)
    defaults = lines.GapsFile.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "remembered", 100)
    found = bench.costs(tmp_path, pairs=2_000, gaps=1_000)
    # Without a bound, 500 gaps of the board and of four sinks are 380 kB.
    assert found[-1].python_bytes - found[4].python_bytes < 200_000
    assert min(each.status_s for each in found) < bench.MOST_S
