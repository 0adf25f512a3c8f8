"""`limits:` and `on:` of a topology: what they become, and each mistake by its place and with the way out."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from dtopipe.model.errors import TopologyError
from dtopipe.model.limits import LimitPlan
from dtopipe.model.plan import CommandPlan, RunPlan
from dtopipe.topology.load import load_plan

HEAD = """\
board: {type: simulated}
sinks: {t: {type: csv, path: t.csv}}
task:
  rate_hz: 10
  channels:
    - {name: flux}
    - {name: tc1, range: [-0.1, 0.1], calibration: {thermocouple: K, cjc: 25}}
    - {name: codes, kind: raw}
    - {name: power, formula: "flux * 2", unit: W}
"""


def plan_of(tmp_path: Path, text: str, *, path: str = "") -> RunPlan:
    file = tmp_path / "t.yaml"
    file.write_text(HEAD + text)
    return load_plan(file, environ={"PATH": path, "WHO": "ann"}, rehearsal=True)


def problems(tmp_path: Path, text: str, *, path: str = "") -> list[str]:
    with pytest.raises(TopologyError) as raised:
        plan_of(tmp_path, text, path=path)
    return [str(problem).removeprefix(f"{tmp_path / 't.yaml'}:") for problem in raised.value.problems]


def a_program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_limits_of_any_column(tmp_path: Path) -> None:
    text = "limits: {tc1: {high: 900, low: -10, for: 2s, unit: degC}, power: {high: 5}, codes: {low: 3}}\n"
    assert plan_of(tmp_path, text).limits == (
        LimitPlan("tc1", 900.0, -10.0, 2.0, "degC"),
        LimitPlan("power", 5.0),
        LimitPlan("codes", low=3.0),
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("{tc2: {high: 1}}", "10:10: limits.tc2: there is no channel 'tc2'\n    did you mean tc1?"),
        ("{tc1: {low: 5, high: 5}}", "10:10: limits.tc1: low is 5, and must be less than high, which is 5"),
        ("{tc1: {for: 2s}}", "limits.tc1: give high, low, or both"),
        ("{tc1: {}}", "limits.tc1: give high, low, or both"),
        (
            "{tc1: {high: 9, unit: K}}",
            "limits.tc1.unit: these limits are in K, and tc1 is in degC\n    write them in degC",
        ),
        ("{power: {high: 9, unit: w}}", "these limits are in w, and power is in W\n    did you mean W?"),
        ("{codes: {high: 9, unit: V}}", "limits.codes.unit: codes has no unit\n    take this line out"),
        ("{tc1: {high: 9, for: -2s}}", "10:25: limits.tc1.for: a time is not negative; this is '-2s'"),
        ("{tc1: {high: 9, for: 2}}", "limits.tc1.for: a time needs a unit (ms, s, min or h), such as 2s"),
        ("{tc1: {high: .nan}}", "limits.tc1.high: must be a finite number"),
        ("{tc1: {high: hot}}", "limits.tc1.high: must be a number, not 'hot'"),
        ("{tc1: {higher: 9}}", "limits.tc1.higher: unknown key\n    did you mean high?"),
        ("[tc1]", "limits: must be a mapping"),
    ],
)
def test_a_mistake_in_limits(tmp_path: Path, limits: str, said: str) -> None:
    (problem,) = problems(tmp_path, f"limits: {limits}\n")
    assert said in problem
    assert "\n    " in problem


def test_the_watcher_of_limits_needs_its_name(tmp_path: Path) -> None:
    text = HEAD.replace("sinks: {t:", "sinks: {Limits:") + "limits: {flux: {high: 1}}\n"
    file = tmp_path / "t.yaml"
    file.write_text(text)
    with pytest.raises(TopologyError, match=r"2:9: sinks.Limits: limits is the process that watches limits"):
        load_plan(file, environ={}, rehearsal=True)
    file.write_text(text.replace("limits: {flux: {high: 1}}\n", ""))
    assert load_plan(file, environ={}, rehearsal=True).limits == ()


def test_a_command_is_found_beside_the_topology_or_on_the_path(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    beside, mailer = a_program(tmp_path / "lamp"), a_program(tools / "mailer")
    text = 'on: {start: [./lamp, green], verdict: [mailer, "${WHO}"], limit: [lamp], silent: [tools/mailer]}\n'
    plan = plan_of(tmp_path, text, path=str(tools))
    assert plan.on == {
        "start": CommandPlan(("./lamp", "green"), beside, tmp_path),
        "limit": CommandPlan(("lamp",), beside, tmp_path),
        "silent": CommandPlan(("tools/mailer",), mailer, tmp_path),
        "verdict": CommandPlan(("mailer", "ann"), mailer, tmp_path),
    }
    # The record holds in any folder, and has no value of the environment.
    assert plan.document["on"]["start"] == [str(tmp_path / "lamp"), "green"]
    assert plan.document["on"]["verdict"] == ["mailer", "${WHO}"]


def test_python_is_the_one_that_runs_dtopipe_where_the_path_has_none(tmp_path: Path) -> None:
    (tmp_path / "notify.py").write_text("")
    plan = plan_of(tmp_path, "on: {limit: [python, notify.py]}\n", path=os.devnull)
    assert plan.on["limit"].program == Path(sys.executable)
    assert plan.document["on"]["limit"] == ["python", str(tmp_path / "notify.py")]


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ("{limits: [a]}", "10:6: on.limits: unknown key\n    did you mean limit?"),
        ("{limit: []}", "on.limit: must not be empty\n    limit: A limit is crossed, such as"),
        ('{limit: [""]}', "on.limit[0]: the program is empty\n    write its name"),
        ("{limit: notify}", "on.limit: must be a list, not 'notify'"),
        ("{limit: [python, 5]}", 'on.limit[1]: must be text, not 5\n    write "5", in quotes'),
        (
            "{limit: [no-such-program]}",
            "10:14: on.limit[0]: there is no program 'no-such-program' on the PATH, nor in ",
        ),
        ("{limit: [./no-such]}", "on.limit[0]: there is no program "),
        ("{limit: [python, nofity.py]}", "on.limit[1]: there is no file "),
        ('{limit: [python, "a\\0b"]}', "on.limit[1]: must not hold a NUL character"),
        ("{limit: [./notify.py]}", "may not be executed\n    chmod +x notify.py, or write [python, notify.py]"),
    ],
)
def test_a_mistake_in_commands(tmp_path: Path, on: str, said: str) -> None:
    (tmp_path / "notify.py").write_text("")
    (problem,) = problems(tmp_path, f"on: {on}\n", path=os.devnull)
    assert said in problem
    assert "\n    " in problem


def test_a_password_in_an_argument_stays_out_of_the_record(tmp_path: Path) -> None:
    a_program(tmp_path / "send")
    plan = plan_of(tmp_path, 'on: {limit: [./send, "https://ann:secret@host/x"]}\n')
    assert plan.document["on"]["limit"][1] == "https://ann:${ON_PASSWORD}@host/x"
    assert plan.on["limit"].argv[1] == "https://ann:secret@host/x"
