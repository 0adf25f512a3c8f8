"""`dtopipe check --format`: the graph of a topology, for programs that draw it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dtopipe.cli.main import main

TOPOLOGY = """\
name: end
board: {type: simulated}
task:
  rate_hz: 1000
  channels: [{name: '"flux"'}, {name: "tc|1"}, {name: v}]
limits: {"tc|1": {high: 3}}
sinks:
  archive: {type: hbuf, path: archive.dt-raw}
  end: {type: sqlite, path: 'my own & [run] (1)#{x}; -> $.db', channels: ['"flux"']}
  trend: {type: csv, path: "trend-{part}.csv", every: 1s, reduce: minmax, split: 1h}
  events: {type: jsonl, path: events-around.jsonl, when: "v > 1", pre: 2s}
  view: {type: csv, path: view.csv, policy: drop}
listen: {endpoint: "tcp://127.0.0.1:5700", insecure: true}
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(TOPOLOGY, encoding="utf-8")


def drawn(form: str) -> str:
    ended: Any = CliRunner().invoke(main, ["check", "t.yaml", "--format", form])
    assert ended.exit_code == 0, ended.output
    text: str = ended.stdout
    return text


def test_graphviz_takes_the_graph_with_any_name() -> None:
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    made = subprocess.run(["dot", "-Tplain"], input=drawn("dot"), capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    nodes = [line.split()[1] for line in made.stdout.splitlines() if line.startswith("node ")]
    assert sorted(nodes) == sorted(
        [
            "board",
            "ring",
            "limits",
            "served",
            *(f"{kind}{number}" for kind in ("sink", "output") for number in range(5)),
        ]
    )


def test_quotes_of_dot_hold_every_name() -> None:
    r"""A statement is names, brackets and texts in quotes, in which a quote or backslash follows a backslash."""
    text = drawn("dot")
    quoted = r'"(?:[^"\\\n]|\\.)*"'
    statement = rf"  (?:\w+=(?:LR|{quoted})|\w+(?: -> \w+)? \[(?:\w+=(?:\w+|{quoted})(?:, )?)+\]);"
    first, *lines, last = text.splitlines()
    assert re.fullmatch(rf"digraph {quoted} {{", first)
    assert last == "}"
    for line in lines:
        assert re.fullmatch(statement, line), line
    assert r"channels \"flux\"" in text


def test_mermaid_has_nothing_but_its_own_syntax_outside_of_texts() -> None:
    """By its rules a text in quotes has no quote in it, and what else would be read as syntax is an entity."""
    first, *lines = drawn("mermaid").splitlines()
    assert first == "flowchart LR"
    text = r'"(?:[^"<>&;|\[\]{}\\]|#\d+;|<br/>)*"'
    shapes = "|".join(
        [
            rf"\[/{text}/\]",
            rf"\(\({text}\)\)",
            rf"\[{text}\]",
            rf"\[\({text}\)\]",
            rf">{text}\]",
            rf"\{{\{{{text}\}}\}}",
        ]
    )
    node, edge = rf"  (\w+)(?:{shapes})", rf"  (\w+) (?:-->|-\.->)(?:\|{text}\|)? (\w+)"
    names = [found[1] for line in lines if (found := re.fullmatch(node, line))]
    edges = [found for line in lines if (found := re.fullmatch(edge, line))]
    assert len(names) + len(edges) == len(lines)
    assert all({found[1], found[2]} <= set(names) for found in edges)
    # `end` and `graph` are words of the syntax.
    assert not {"end", "graph", "subgraph"} & set(names)


@pytest.mark.parametrize("form", ["dot", "mermaid"])
def test_the_graph_says_policies_journal_views_parts_triggers_limits_and_links(form: str) -> None:
    text = drawn(form).replace("#39;", "'").replace("#62;", ">")
    for words in (
        "journal", "drop_oldest", "catches up from the journal", "a row for 1s (minmax)", "a part after 1h",
        "when v > 1", "SIMULATED", "other machines", "INSECURE LINK", "above 3",
    ):  # fmt: skip
        assert words in text, words


def test_one_way_to_print_is_given() -> None:
    ended = CliRunner().invoke(main, ["check", "t.yaml", "--format", "dot", "--json"])
    assert ended.exit_code == 2
    assert "two ways" in ended.output
