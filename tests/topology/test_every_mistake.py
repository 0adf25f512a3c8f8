"""One mistake hides no other, and one cause is one problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtopipe.model.errors import TopologyError
from dtopipe.topology.load import load_plan
from dtopipe.topology.single_sink import convertible_options

BOARD = "board: {type: simulated}\ntask: {rate_hz: 10, channels: [{name: a}]}\n"


def keys_and_messages(tmp_path: Path, text: str, *, simulate: bool = False) -> list[tuple[str, str]]:
    file = tmp_path / "t.yaml"
    file.write_text(text)
    with pytest.raises(TopologyError) as raised:
        load_plan(file, environ={}, simulate=simulate, rehearsal=True)
    return [(problem.key, problem.message) for problem in raised.value.problems]


def test_a_key_that_stands_twice_hides_no_other_mistake(tmp_path: Path) -> None:
    text = BOARD + "duration: 5q\nsinks:\n  t: {type: csvv, path: a, path: b}\nduration: 5s\nnam: x\n"
    found = keys_and_messages(tmp_path, text)
    assert [key for key, _ in found] == ["duration", "sinks.t.type", "sinks.t.path", "duration", "nam"]
    assert [message for _, message in found].count("stands here a second time") == 2


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (BOARD + "sinks: {d: {type: postgres, dsn: '${NOPE}'}}", "sinks.d.dsn"),
        (BOARD + "sinks: {d: {type: csv, path: '${NOPE}.csv'}, e: {type: csv, path: .csv}}", "sinks.d.path"),
        (
            BOARD + "sinks: {d: {type: hbuf, path: x, segment: '${NOPE}', retention: {until: durable}}}",
            "sinks.d.segment",
        ),
        (BOARD + "sinks: {d: {type: csv, path: x, flush_interval: '${NOPE}'}}", "sinks.d.flush_interval"),
        ("board: {type: replay, path: '${NOPE}'}\nsinks: {d: {type: csv, path: x}}", "board.path"),
    ],
)
def test_a_variable_that_is_not_set_is_one_problem(tmp_path: Path, text: str, key: str) -> None:
    assert keys_and_messages(tmp_path, text) == [(key, "the environment has no NOPE")]


def test_a_variable_that_two_need_is_one_problem_too(tmp_path: Path) -> None:
    text = BOARD + "sinks: {d: {type: csv, path: '${NOPE}/a'}, e: {type: csv, path: '${NOPE}/b'}}"
    assert keys_and_messages(tmp_path, text) == [
        ("sinks.d.path", "the environment has no NOPE; sinks.e.path needs it too")
    ]
    replay = "board: {type: replay, path: '${NOPE}'}\nsinks: {d: {type: csv, path: x}}"
    assert keys_and_messages(tmp_path, replay, simulate=True) == [("board.path", "the environment has no NOPE")]


WRITERS = """
class Strict:
    def __init__(self, output, *, factor=2):
        pass

class Loose:
    def __init__(self, output, **options):
        pass
"""


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with two sinks that name their options by the keywords of their classes alone."""
    (tmp_path / "two_writers.py").write_text(WRITERS)
    info = tmp_path / "writers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: writers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dtopipe.sinks]\nstrict = two_writers:Strict\nloose = two_writers:Loose\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("plugged")
def test_an_option_that_a_plug_in_does_not_take_is_refused(tmp_path: Path) -> None:
    assert convertible_options("strict", ["factor=3"]) == {"factor": 3}
    assert convertible_options("strict", []) == {}
    assert convertible_options("loose", ["anything=[1]"]) == {"anything": [1]}
    with pytest.raises(TopologyError, match=r"-o fator: unknown key\n    did you mean factor\?"):
        convertible_options("strict", ["fator=3"])
    found = keys_and_messages(tmp_path, BOARD + "sinks: {s: {type: strict, path: x, fator: 3}}")
    assert found == [("sinks.s.fator", "unknown key")]


def test_options_of_a_conversion_are_checked_as_a_topologys_are() -> None:
    assert convertible_options("sqlite", ["busy_timeout_ms=10"]) == {"busy_timeout_ms": 10}
    assert convertible_options("postgres", ["dsn=postgresql://u@h/d", "schema=archive"]) == {
        "dsn": "postgresql://u@h/d", "schema": "archive",
    }  # fmt: skip
    with pytest.raises(TopologyError) as raised:
        convertible_options("sqlite", ["busy_timeout_ms=-1", "jurnal_mode=WAL", "flush_interval=1s"])
    text = str(raised.value)
    assert "-o busy_timeout_ms: must be 0 or more" in text
    assert "did you mean journal_mode?" in text
    assert "-o flush_interval: is for a run, and no option of a conversion" in text


def test_an_option_of_a_conversion_may_be_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SCHEMA", "archive")
    given = ["host=h", "database=d", "schema=${LAB_SCHEMA}", "user=${NOBODY_HAS_THIS:-lab}"]
    assert convertible_options("postgres", given) == {"host": "h", "database": "d", "schema": "archive", "user": "lab"}
    with pytest.raises(TopologyError) as caught:
        convertible_options("postgres", ["password=${NOBODY_HAS_THIS}"])
    (problem,) = caught.value.problems
    assert "the environment has no NOBODY_HAS_THIS" in str(problem)
