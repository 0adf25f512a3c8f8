"""Variables of the environment mean the same on every system."""

from __future__ import annotations

import pytest

from dtopipe.topology.variables import resolved


@pytest.mark.parametrize(
    ("environ", "operator"),
    [({"USER": "ada", "USERNAME": "x"}, "ada"), ({"USERNAME": "grace"}, "grace"), ({}, "unknown"), ({"USER": ""}, "")],
)
def test_who_is_at_the_machine_is_known_by_either_name(environ: dict[str, str], operator: str) -> None:
    absent: dict[str, list[str]] = {}
    assert resolved("${USER:-unknown}", environ, absent) == operator
    assert absent == {}
