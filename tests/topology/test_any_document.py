"""Whatever stands in a file, it is a plan or a list of problems, never another error."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thoroughness import times

from dtopipe.model.errors import TopologyError
from dtopipe.model.plan import RunPlan
from dtopipe.topology.load import load_plan

DOCUMENT: dict[str, Any] = {
    "name": "heat", "run_dir": "runs", "duration": "5s", "drain_limit": "1min", "metadata": {"a": 1},
    "board": {
        "type": "simulated", "waveform": "counter", "overruns": [{"at": 1, "samples": 2}],
        "sensor_faults": [{"channel": "x", "at": 1, "samples": 2, "status": "open"}], "max_samples": 10,
    },
    "task": {
        "mode": "continuous", "rate_hz": 100, "samples_per_block": 10, "driver_buffers": 4,
        "channels": [{"name": "x", "range": [-1, 1], "unit": "V"}, {"name": "y", "kind": "raw", "seed": 4}],
    },
    "ring": {"seconds": 4},
    "sinks": {
        "raw": {"type": "hbuf", "path": "a.dt-raw", "journal": False, "restart": {"max": 1, "within": "5s"}},
        "base": {"type": "sqlite", "path": "a.db", "channels": ["y"], "sync": "every", "stall_limit": "none"},
    },
}  # fmt: skip
ODD: list[Any] = [
    None, True, -1, 0, 1e308, float("inf"), float("nan"), 10**400, "", "x", "${UNSET}", "\0", "../x", "/",
    "~nobody-here/x", "5s", [], [[]], [None], {}, {"": {}}, {"type": "csv"}, {"type": ["x"]}, {"type": {}},
    {"x": [{"y": 5}]},
]  # fmt: skip


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, item in items for spot in spots(item, (*path, key)))]


def changed(changes: list[tuple[tuple[Any, ...], Any, str]]) -> Any:
    document = copy.deepcopy(DOCUMENT)
    for path, odd, how in changes:
        at: Any = document
        try:
            for step in path[:-1]:
                at = at[step]
            if how == "remove":
                del at[path[-1]]
            else:
                at[path[-1] if how == "replace" else "odd"] = odd
        except (KeyError, IndexError, TypeError):
            continue
    return document


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(spots(DOCUMENT)[1:]), st.sampled_from(ODD), st.sampled_from(["replace", "remove", "add"])
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@given(CHANGES, st.booleans())
@example([(("task",), True, "replace")], False)
@example([(("sinks", "base", "path"), "/", "replace")], False)
@settings(max_examples=times(60), deadline=None)
def test_any_document_is_a_plan_or_problems_that_say_where_and_what(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[tuple[Any, ...], Any, str]], simulate: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(changed(changes), allow_unicode=True), encoding="utf-8")
    try:
        plan = load_plan(file, run_dir=Path(file.parent), simulate=simulate, environ={})
    except TopologyError as error:
        problems = error.problems
    else:
        assert isinstance(plan, RunPlan)
        return
    assert problems
    for problem in problems:
        assert problem.place is not None
        assert problem.message
        assert problem.remedy
