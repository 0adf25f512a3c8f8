"""What tests of a supervisor's parts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import Bench


@pytest.fixture
def a_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """A supervisor's parts for these sinks; `own`: of the plan."""
    made: list[Bench] = []

    def make(*sinks: Any, clocked: bool = True, **own: Any) -> Bench:
        made.append(Bench(tmp_path, sinks, own, clocked) if sinks else Bench(tmp_path, own=own, clocked=clocked))
        return made[-1]

    yield make
    for each in made:
        each.close()
