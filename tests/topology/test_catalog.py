"""What is installed: types, options, defaults, plug-ins, and the JSON Schema for editors."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dtopipe.boards.driver_library.task import KINDS as DRIVER_KINDS
from dtopipe.host.recorded_path import COMMIT_RECORD
from dtopipe.model.errors import TopologyError
from dtopipe.sinks import registry
from dtopipe.sinks.file import commit_record
from dtopipe.sinks.grouped.suffix import TAIL_SUFFIX
from dtopipe.sinks.registry import OURS, sink_type
from dtopipe.sinks.sqlite.sink_type import SIDE_SUFFIXES
from dtopipe.topology.catalog import (
    Option,
    board_options,
    board_types,
    channel_options,
    json_schema,
    sink_options,
    sink_types,
)
from dtopipe.topology.load import load_plan
from dtopipe.topology.starter import STARTER
from dtopipe.wire.raw_files import INDEX_SUFFIX

ROOT = Path(__file__).parents[2]


def by_name(options: Any) -> dict[str, Option]:
    return {option.name: option for option in options}


def test_every_type_and_every_option_says_what_it_is() -> None:
    entries = [*board_types(), *sink_types()]
    assert [entry.name for entry in entries] == [
        "dtollib",
        "jetstream",
        "remote",
        "replay",
        "simulated",
        "csv",
        "hbuf",
        "hdf5",
        "jetstream",
        "jsonl",
        "parquet",
        "postgres",
        "sqlite",
    ]
    for entry in entries:
        assert entry.meaning
        assert all(option.meaning and option.type for option in entry.options), entry
    assert all(option.meaning for option in sink_options())


def test_defaults_are_shown_as_a_topology_writes_them() -> None:
    common = by_name(sink_options())
    assert common["flush_interval"].default == "500ms"
    assert common["restart"].default == {"max": 5, "within": "60s", "backoff": "250ms"}
    assert (common["stall_limit"].default, common["sync"].default) == ("none", "none")
    assert common["layout"].type == "wide | long"
    assert common["on_exists"].type == "error | rename | overwrite | append"
    simulated = by_name(next(entry for entry in board_types() if entry.name == "simulated").options)
    assert (simulated["waveform"].default, simulated["pace"].default) == ("sine", "realtime")
    assert by_name(sink_types()[0].options)["path"].required


def test_what_a_channel_may_say_is_that_of_its_board_and_what_all_have() -> None:
    boards = {entry.name: entry for entry in board_types()}
    simulated = boards["simulated"]
    assert simulated.channel_options is not None
    assert set(by_name(simulated.channel_options)) == {"waveform", "frequency_hz", "amplitude", "phase", "seed"}
    assert simulated.kinds == ("voltage", "current", "raw", "thermocouple", "rtd", "thermistor")
    # The driver library knows itself what its inputs take; other machines and recordings bring theirs along.
    assert boards["dtollib"].channel_options is None
    assert set(boards["dtollib"].kinds) == set(DRIVER_KINDS)
    assert (boards["replay"].channel_options, boards["replay"].kinds) == ((), ())
    assert set(by_name(channel_options())) == {
        "name", "kind", "physical_channel", "range", "unit", "calibration", "formula", "with",
    }  # fmt: skip
    assert all(option.meaning for option in (*simulated.channel_options, *channel_options(), *board_options()))


@pytest.mark.parametrize("sink", OURS)
def test_options_and_defaults_of_a_sink_are_those_of_its_writer(sink: str) -> None:
    entry = next(entry for entry in sink_types() if entry.name == sink)
    # Who is the journal is decided for all sinks together.
    own = {option.name: option.default for option in entry.options if option.name not in ("path", "journal")}
    parameters = inspect.signature(registry.load_writer(sink)).parameters.values()
    writers = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    writers.pop("journal", None)
    # A topology has a name, a program gives one.
    assert (own.pop("schema", None), writers.pop("schema", "public")) == (None, "public")
    assert own == writers


def test_the_files_beside_an_output_are_those_of_its_writer() -> None:
    assert commit_record.SUFFIX == COMMIT_RECORD
    known = {name: endings for name in OURS if (endings := sink_type(name).companions)}
    assert known == {
        "hbuf": (INDEX_SUFFIX,), "hdf5": (TAIL_SUFFIX,), "parquet": (TAIL_SUFFIX,), "sqlite": SIDE_SUFFIXES,
    }  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("file", [*sorted((ROOT / "topologies").glob("*.yaml")), None], ids=lambda f: f and f.name)
def test_the_schema_takes_every_example(validator: jsonschema.Draft202012Validator, file: Path | None) -> None:
    validator.validate(yaml.safe_load(file.read_text(encoding="utf-8") if file else STARTER))


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({"board": {"type": "simulatd"}}, False),
        ({"board": {"type": "simulated", "waveform": "sinus"}}, False),
        ({"board": {"type": "replay"}}, False),
        ({"board": {"type": "replay", "path": "x", "speed": "max"}}, True),
        ({"board": {"type": "remote"}}, False),
        ({"board": {"type": "remote", "endpoint": "tcp://daq-pc:5700", "server_key": "daq-pc.pub"}}, True),
        ({"listen": {"endpoint": "daq-pc"}}, False),
        ({"listen": {"endpoint": "tcp://0.0.0.0:5700"}}, True),
        ({"sinks": {"t": {"type": "csv"}}}, False),
        ({"sinks": {"t": {"type": "csv", "path": "x", "polcy": "drop"}}}, False),
        ({"sinks": {"t": {"type": "csv", "path": "x", "compression": "zstd"}}}, False),
        ({"sinks": {"t": {"type": "csv", "path": "x", "sync": "none", "flush_interval": "1s"}}}, True),
        ({"ring": {"slots": 1}}, False),
        ({"ring": {"slots": 4, "seconds": 4}}, False),
        ({"ring": {"slots": "${SLOTS}"}}, True),
        ({"duration": 60}, False),
        ({"duration": "60"}, False),
        ({"duration": "${LENGTH:-60s}"}, True),
        ({"metadata": {"sample": None}}, True),
        ({"rng": {}}, False),
    ],
)
def test_the_schema_knows_right_from_wrong(
    validator: jsonschema.Draft202012Validator, change: dict[str, Any], right: bool
) -> None:
    assert validator.is_valid({**yaml.safe_load(STARTER), **change}) is right


PLUG_IN = '''
from pydantic import BaseModel, Field

class Wheel:
    """A wheel with teeth."""
    class Options(BaseModel):
        teeth: int = Field(default=60, ge=1, description="How many.")

class Plain:
    """Takes what comes."""
'''


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution whose board has options, whose sink has none, and parts that cannot be loaded."""
    (tmp_path / "wheels_plugin.py").write_text(PLUG_IN)
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('the driver is not there')\n")
    info = tmp_path / "wheels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wheels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dtopipe.boards]\nwheel = wheels_plugin:Wheel\nbroken = broken_plugin:Board\nsimulated = wheels_plugin:Plain\n"
        "[dtopipe.sinks]\nplain = wheels_plugin:Plain\ngone = wheels_plugin:Gone\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)


def plan_problems(board: str, sink: str) -> str:
    Path("t.yaml").write_text(
        f"board: {{{board}}}\ntask: {{rate_hz: 10, channels: [{{name: a}}]}}\nsinks: {{s: {{{sink}}}}}\n"
    )
    with pytest.raises(TopologyError) as raised:
        load_plan(Path("t.yaml"))
    return str(raised.value)


@pytest.mark.usefixtures("plugged")
def test_plug_ins_are_listed_with_their_options_and_broken_ones_with_the_reason() -> None:
    boards = {entry.name: entry for entry in board_types()}
    assert list(boards) == ["broken", "dtollib", "jetstream", "remote", "replay", "simulated", "wheel"]
    assert boards["wheel"].meaning == "A wheel with teeth."
    assert by_name(boards["wheel"].options)["teeth"].default == 60
    assert boards["broken"].broken == "the driver is not there"
    assert boards["simulated"].meaning == "A converter of pure functions: its own oracle."
    sinks = {entry.name: entry for entry in sink_types()}
    assert sinks["plain"].meaning == "Takes what comes."
    assert "Gone" in str(sinks["gone"].broken)
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.usefixtures("plugged")
def test_options_of_plug_ins_are_checked_where_they_are_known_and_pass_where_not() -> None:
    sink = "type: plain, path: x, any: [1, {b: 2}]"
    assert "t.yaml:1:22: board.teeth: must be 1 or more, not 0\n    teeth: How many." in plan_problems(
        "type: wheel, teeth: 0", sink
    )
    Path("t.yaml").write_text(
        f"board: {{type: wheel}}\ntask: {{rate_hz: 10, channels: [{{name: a}}]}}\nsinks: {{s: {{{sink}}}}}\n"
    )
    plan = load_plan(Path("t.yaml"))
    assert dict(plan.board.options) == {"teeth": 60}
    assert dict(plan.sinks[0].options) == {"any": [1, {"b": 2}]}


@pytest.mark.usefixtures("plugged")
def test_a_plug_in_that_cannot_be_loaded_is_refused_with_the_reason() -> None:
    said = plan_problems("type: broken", "type: gone")
    assert "t.yaml:1:9: board.type: this plug-in cannot be loaded: the driver is not there\n    install it anew" in said
    assert "sinks.s.type: this plug-in cannot be loaded: " in said
