"""Real runs whose power goes: what was durable is there after repair, and no output has less than before it."""

from __future__ import annotations

import json
from itertools import cycle
from typing import Any

import pytest
from cut_bench import Bench
from cut_plans import MOMENTS, planned
from cut_runs import as_document, cut_run
from forgetful_disk import Mode

# Other cuts at each call would test more, and tell less: scripts/dev/powercut_campaign.py does hundreds.
SEED = 1
CUTS = list(zip(cycle(Mode), MOMENTS, strict=False))


# Each byte goes through a file system that is written in Python: a busy machine takes minutes for it.
pytestmark = pytest.mark.timeout(600)


def _assert_kept(bench: Bench, mode: Mode, moment: str, **wishes: Any) -> None:
    outcome = cut_run(planned(SEED, mode, moment, **wishes), bench)
    assert not outcome.broken, json.dumps(as_document(outcome), indent=2)


@pytest.mark.parametrize(("mode", "moment"), CUTS)
def test_what_was_durable_is_there_after_a_cut_and_repair(bench: Bench, mode: Mode, moment: str) -> None:
    _assert_kept(bench, mode, moment)


def test_a_database_on_a_server_that_keeps_its_power(bench: Bench, postgres: Any) -> None:
    bench.dsn = postgres.dsn
    _assert_kept(bench, Mode.ORDERED, "random", with_server=True, retains=True)
