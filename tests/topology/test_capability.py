"""What an output cannot hold is refused before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from recordings import blocks, recorded

from dtopipe.model.errors import TopologyError
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Layout
from dtopipe.model.sink_types import Column
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.sinks.postgres.limits import MOST_POSTGRES_COLUMNS, postgres_row_fits
from dtopipe.topology.capability import check_capability, check_number
from dtopipe.topology.load import load_plan
from dtopipe.verify.convert import convert

SERVER = "type: postgres, host: db, user: lab, database: d"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(channels: list[str], sink: str, mode: str = "continuous", kind: str = "voltage") -> list[str]:
    """Of a topology with these channels and one sink `s`."""
    listed = "".join(f"    - {{name: {name}, kind: {kind}}}\n" for name in channels)
    text = f"board: {{type: simulated}}\ntask:\n  rate_hz: 10\n  mode: {mode}\n  channels:\n{listed}"
    Path("t.yaml").write_text(f"{text}sinks:\n  s: {{{sink}}}\n", encoding="utf-8")
    try:
        load_plan(Path("t.yaml"))
    except TopologyError as error:
        return [str(problem) for problem in error.problems]
    return []


def numbered(n: int) -> list[str]:
    return [f"c{number}" for number in range(n)]


@pytest.mark.parametrize(
    ("sink", "mode", "kind", "most"),
    [
        ("type: sqlite, path: s.db", "continuous", "voltage", 1996),
        ("type: sqlite, path: s.db", "polled", "voltage", 994),
        (SERVER, "continuous", "voltage", 997),
        (SERVER, "continuous", "raw", 1596),
        (SERVER, "polled", "voltage", 780),
    ],
)
def test_a_database_is_given_no_more_channels_than_a_row_of_it_takes(
    sink: str, mode: str, kind: str, most: int
) -> None:
    assert problems(numbered(most), sink, mode, kind) == []
    (problem,) = problems(numbered(most + 1), sink, mode, kind)
    assert f"sinks.s: {most + 1:,} channels are too many columns" in problem
    assert f"a row of {most:,}" in problem


def test_the_long_layout_takes_any_number_of_channels_and_a_sink_may_choose_some() -> None:
    assert problems(numbered(2100), "type: sqlite, path: s.db, layout: long") == []
    assert problems(numbered(2100), "type: sqlite, path: s.db, channels: [c7, c2099]") == []


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_number_of_columns_beyond_reason_is_refused(kind: str) -> None:
    columns = [Column(f"task.channels[{number}].name", f"c{number}") for number in range(60_000)]
    sink = SinkPlan("s", kind, f"s.{kind}")
    ((key, what, remedy),) = check_capability(columns, [sink], polled=False)
    assert key == "sinks.s"
    assert what == "60,000 channels are too many columns: programs that read such a file take a row of 16,381"
    assert remedy == "set sinks.s.layout: long, or choose channels for it: sinks.s.channels: [...]"
    assert list(check_capability(columns, [replace(sink, layout=Layout.LONG)], polled=False)) == []


def test_more_channels_than_a_run_takes_are_refused_whatever_the_outputs_are() -> None:
    columns = [Column("", "") for _ in range(60_000)]
    ((key, what, remedy),) = check_number(columns)
    assert (key, remedy) == ("task.channels", "make several topologies of them")
    assert what == "60,000 channels are more than a run takes: 16,384"
    assert list(check_number(columns[:16_384])) == []


@pytest.mark.parametrize("name", ["rowid", "RowID"])
def test_the_name_of_a_row_of_sqlite_is_refused_where_it_would_be_a_column(name: str) -> None:
    sqlite = "type: sqlite, path: s.db"
    (problem,) = problems(["a", name], sqlite)
    assert f"task.channels[1].name: '{name}' is what SQLite calls a row by (sink s)" in problem
    assert len(problems(["a", name], sqlite, mode="polled")) == 1
    assert problems(["a", name], f"{sqlite}, layout: long") == []
    assert problems(["a", name], "type: csv, path: s.csv") == []


@pytest.mark.parametrize(("kind", "names"), [("sqlite", ("Temp", "temp")), ("postgres", ("xmin", "a"))])
def test_a_conversion_is_refused_what_a_run_is(kind: str, names: tuple[str, ...], tmp_path: Path) -> None:
    stream = recorded(names)
    writer = HbufWriter(OutputOptions(tmp_path / "a.dt-raw"))
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 100))
    writer.close()
    output = OutputOptions(tmp_path / "out" if kind == "sqlite" else None)
    with pytest.raises(TopologyError, match="use --layout long"):
        convert(tmp_path / "a.dt-raw", kind, output, {})
    assert not (tmp_path / "out").exists()


def test_thousands_of_channels_are_no_aliases_in_aliases() -> None:
    assert problems(numbered(7000), "type: hbuf, path: s.dt-raw") == []


@pytest.mark.parametrize("name", ["xmin", "ctid", "tableoid", "cmax"])
def test_a_name_that_postgres_has_for_itself_is_refused_where_it_would_be_a_column(name: str) -> None:
    (problem,) = problems(["a", name], SERVER)
    assert f"task.channels[1].name: '{name}' is a column that every table of Postgres has (sink s)" in problem
    assert problems(["a", name], f"{SERVER}, layout: long") == []
    assert problems(["a", name], "type: sqlite, path: s.db") == []
    assert problems(["a", name.upper()], SERVER) == []


def test_a_row_of_numbers_fits_into_a_page_with_its_bits_for_nulls() -> None:
    assert postgres_row_fits([8] * (4 + 997))
    assert not postgres_row_fits([8] * (4 + 998))
    assert postgres_row_fits([4] * MOST_POSTGRES_COLUMNS)
    assert not postgres_row_fits([4] * (MOST_POSTGRES_COLUMNS + 1))
