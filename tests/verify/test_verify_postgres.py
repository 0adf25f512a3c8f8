"""What `verify` must find in the tables of a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, running_server
from run_folders import LONG_SINKS, OVERRUN, SINKS, STEP, record_run, reports

from dtopipe.model.span import Span

SAMPLE, BLOCK_AT = 420, 390
ONE = (Span(SAMPLE, SAMPLE + 1),)
OF_BLOCK = f"WHERE first_sample_index = {BLOCK_AT}"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this file's own."""
    yield from running_server()


def _run(folder: Path, server: PostgresServer, layout: str) -> str:
    """A run whose database is a schema of its own; returns its name."""
    server.ensure_running()
    schema = server.new_schema()
    base = {"type": "postgres", "dsn": server.dsn, "schema": schema, "layout": layout}
    others = {"archive": SINKS["archive"], "view": SINKS["view"], "table": LONG_SINKS["table"]}
    record_run(folder, {**others, "base": base})
    return schema


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (f"UPDATE {{}}.{{samples}} SET t_utc = t_utc + interval '1 hour' WHERE sample_index = {SAMPLE}", "mistimed"),
        (f"UPDATE {{}}.{{samples}} SET t_mono_ns = t_mono_ns + 1 WHERE sample_index = {SAMPLE}", "mistimed"),
        (f"UPDATE {{}}.{{samples}} SET {{value}} = {{value}} + 1 WHERE sample_index = {SAMPLE}", "differing"),
        (f"UPDATE {{}}.{{samples}} SET {{value}} = NULL WHERE sample_index = {SAMPLE}", "differing"),
        (f"UPDATE {{}}.block_stats SET max = max + 1 {OF_BLOCK} AND channel = 1", "misstated"),
        (f"UPDATE {{}}.block_stats SET n_values = 3 {OF_BLOCK} AND channel = 0", "misstated"),
        (f"UPDATE {{}}.blocks SET t_utc = t_utc + interval '1 hour' {OF_BLOCK}", "misstated"),
        (f"UPDATE {{}}.blocks SET samples_per_channel = samples_per_channel - 1 {OF_BLOCK}", "misstated"),
        ("UPDATE {}.gaps SET cause = 'write_error'", "misnamed"),
        ("UPDATE {}.channels SET unit = 'mV' WHERE channel = 1", "problems"),
    ],
)
def test_what_was_changed_in_its_tables_is_named(
    tmp_path: Path, server: PostgresServer, statement: str, kind: str, layout: str
) -> None:
    folder = tmp_path / "run"
    schema = _run(folder, server, layout)
    assert {name: report.problems for name, report in reports(folder).items() if report.problems} == {}
    names = (
        {"samples": "samples", "value": "tc1"} if layout == "wide" else {"samples": "samples_long", "value": "value"}
    )
    server.sql(statement.format(f'"{schema}"', **names))
    found = reports(folder)
    assert [name for name, report in found.items() if report.problems] == ["base"]
    told = getattr(found["base"], kind)
    if kind in ("mistimed", "differing"):
        assert told == ONE
    elif kind == "misstated":
        assert Span(BLOCK_AT, BLOCK_AT + STEP).intersection(told[0])
        assert found["base"].differing == () or "t_utc" in statement
    elif kind == "misnamed":
        assert told == (OVERRUN,)
    else:
        assert told == ("unit or scale are not those of the run record: tc1",)
