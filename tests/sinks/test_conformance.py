"""What every sink promises, in one suite over all of them and both layouts: that of `dtopipe.testing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dtopipe.model.policy import Layout
from dtopipe.sinks.jetstream.writer import JetStreamWriter
from dtopipe.sinks.registry import OURS, load_reader, load_writer, sink_type
from dtopipe.testing import Appends, SinkUnderTest
from dtopipe.testing.sink_deaths import SinkDeaths
from dtopipe.testing.sink_faults import SinkFaults
from dtopipe.testing.sink_promises import SinkPromises
from dtopipe.testing.sink_readings import SinkReadings

APPENDS = {"csv": Appends.BEHIND, "jsonl": Appends.BEHIND, "sqlite": Appends.BESIDE}
# A spreadsheet has no infinities.
EXCEL = {"dialect": "excel", "decimal": ","}


def kind(name: str, layout: Layout, options: Mapping[str, Any] = {}) -> SinkUnderTest:
    known = sink_type(name)
    return SinkUnderTest(
        load_writer(name),
        load_reader(name),
        None if known.server else Path("out"),
        layout,
        options=options,
        appends=APPENDS.get(name, Appends.NEVER),
        takes_readings=known.takes_readings,
        durable_at_once=known.commits_are_durable,
        keeps_infinities=known.holds_nonfinite and options is not EXCEL,
        # SQLite stores a whole number as an integer, which has no -0.
        keeps_negative_zero=name != "sqlite",
        joins_quiet=True,
    )


class TestEverySink(SinkPromises):
    """Real runs of each type are those of tests/integration."""

    def kinds(self) -> Mapping[str, SinkUnderTest]:
        layouts = {name: Layout if sink_type(name).has_layouts else [Layout.WIDE] for name in OURS}
        found = {f"{name}-{layout}": kind(name, layout) for name in OURS for layout in layouts[name]}
        return found | {"csv-excel": kind("csv", Layout.WIDE, EXCEL)}

    @pytest.fixture
    def sink(self, request: pytest.FixtureRequest, tmp_path: Path) -> SinkUnderTest:
        """Each kind of output in turn."""
        found: SinkUnderTest = request.param
        if found.path is not None:
            return found.at(tmp_path / "out")
        if found.writer_class is JetStreamWriter:
            server = request.getfixturevalue("nats_server")
            name = server.new_stream()
            options = {"endpoint": server.endpoint, "run_name": name, "server_sync_s": 0.0}
            return replace(found, options=options, target=f"{server.endpoint}/dtopipe/dtopipe.{name}.simulated")
        postgres = request.getfixturevalue("postgres")
        options = {**postgres.options, "schema": postgres.new_schema()}
        target = f"postgres://127.0.0.1:{options['port']}/postgres.{options['schema']}"
        return replace(found, options=options, target=target)


class TestReadingsOfEveryFile(SinkReadings):
    """What other programs read of them is in test_readings.py."""

    def kinds(self) -> Mapping[str, SinkUnderTest]:
        return {name: kind(name, Layout.WIDE) for name in OURS} | {"csv-excel": kind("csv", Layout.WIDE, EXCEL)}


class TestEveryFileUnderFaults(SinkDeaths, SinkFaults):
    """In the layout that costs less: the other one has other bytes, and the same commits."""

    # At random moments, and in both layouts, they are killed in test_kills.py.
    most_deaths = 10

    def kinds(self) -> Mapping[str, SinkUnderTest]:
        return {name: kind(name, Layout.WIDE) for name in OURS} | {"csv-excel": kind("csv", Layout.WIDE, EXCEL)}

    @pytest.fixture
    def small_disk(self, small_disk: Callable[..., Any]) -> Callable[..., Any]:
        """One that the suite finds again if this test is killed."""
        return small_disk
