"""Other calibrations for codes that are there: `convert --calibration`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dtopipe.cli.main import main
from dtopipe.model.calibration_part import calibration_from
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import TopologyError
from dtopipe.model.stream import VIRTUAL, Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_writer
from dtopipe.topology.load import load_plan
from dtopipe.wire.dtraw import read_file_header

OLD = {"linear": {"scale": 2.0, "offset": 0.0}, "unit": "bar", "id": "P-1", "input_unit": "V"}
N = 200


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Codes 0, 1, 2, ... of a pressure, a flux that has no calibration, and their product."""
    channels = (
        Channel("p", "bar", scale=0.001, calibration=calibration_from(OLD, "p")),
        Channel("flux", "V", scale=0.01, range=(-100.0, 100.0)),
    )
    power = Channel("power", "W", VIRTUAL, formula="p * flux")
    stream = Stream(
        "run-1", "heat", "simulated", channels, "int16", 1000.0, N, "2026-11-23T09:00:00Z", virtual=(power,)
    )
    writer = load_writer("hbuf")(OutputOptions(tmp_path / "archive.dt-raw"))
    writer.open(stream, 0, resume=False)
    codes = np.stack([np.arange(N), np.arange(N)]).astype(np.int16)
    writer.append([Block(0, 0, codes, Anchor(0, 0, 1_763_900_000_000_000_000))])
    writer.close()
    return tmp_path / "archive.dt-raw"


def convert(archive: Path, to: str, name: str, calibration: str | None) -> Any:
    arguments = ["convert", str(archive), "--to", to, "--path", str(archive.parent / name)]
    if calibration is not None:
        new = archive.parent / "new.yaml"
        new.write_text(calibration)
        arguments += ["--calibration", str(new)]
    return CliRunner().invoke(main, arguments)


def test_a_conversion_has_the_calibration_of_the_recording(archive: Path) -> None:
    assert convert(archive, "parquet", "out.parquet", None).exit_code == 0
    table = pq.read_table(archive.parent / "out.parquet")
    assert table["p"].to_pylist() == [code * 0.001 * 2.0 for code in range(N)]
    assert json.loads(table.schema.field("p").metadata[b"calibration"]) == {**OLD, "is_applied": True}
    assert table["power"].to_pylist() == [code * 0.001 * 2.0 * (code * 0.01) for code in range(N)]


def test_another_calibration_is_applied_to_the_codes_and_both_are_named(archive: Path) -> None:
    new = "p: {points: [[0, 100], [0.1, 0]], unit: kPa, id: P-2}\nflux: {linear: {scale: 3}, unit: W/m2}\n"
    done = convert(archive, "parquet", "fixed.parquet", new)
    assert done.exit_code == 0, done.output
    table = pq.read_table(archive.parent / "fixed.parquet")
    values = table["p"].to_pylist()
    assert values[:101] == pytest.approx([100 - code for code in range(101)])
    assert values[101:] == [None] * (N - 101)
    assert table["flux"].to_pylist() == pytest.approx([code * 0.03 for code in range(N)])
    assert table["power"].to_pylist()[50] == pytest.approx(50 * 1.5)
    told = json.loads(table.schema.field("p").metadata[b"calibration"])
    assert (told["points"], told["unit"], told["id"]) == ([[0.0, 100.0], [0.1, 0.0]], "kPa", "P-2")
    assert told["instead_of"] == OLD
    of_flux = json.loads(table.schema.field("flux").metadata[b"calibration"])
    assert of_flux["instead_of"] == {"unit": "V"}


def test_an_archive_can_be_given_another_calibration_and_keeps_its_codes(archive: Path) -> None:
    assert convert(archive, "hbuf", "fixed.dt-raw", "p: {linear: {scale: 4}, unit: bar}").exit_code == 0
    header = read_file_header(archive.parent / "fixed.dt-raw")
    calibration = header.channels[0].calibration
    assert calibration is not None
    assert calibration.facts()["linear"] == {"scale": 4.0, "offset": 0.0}
    assert calibration.instead_of == OLD
    assert header.metadata["recalibrated_by"] == "new.yaml"
    done = convert(archive.parent / "fixed.dt-raw", "csv", "fixed.csv", None)
    assert done.exit_code == 0
    assert (archive.parent / "fixed.csv").read_text().splitlines()[2].split(",")[3] == "0.004"


def test_mistakes_are_told_by_place_all_at_once_and_nothing_is_written(archive: Path) -> None:
    done = convert(
        archive,
        "csv",
        "fixed.csv",
        "pp: {linear: {scale: 4}, unit: bar}\n"
        "power: {linear: {scale: 4}, unit: bar}\n"
        "flux: {points: [[0, 1], [0, 2]], unti: bar}\n"
        "p: {thermocouple: K, cjc: flux}\n",
    )
    assert done.exit_code == 2
    told = str(done.exception) if done.exception and not isinstance(done.exception, SystemExit) else done.output
    where = str(archive.parent / "new.yaml")
    assert f"{where}:1:1: pp: the recording has no channel 'pp' with codes\n    did you mean p?" in told
    assert f"{where}:2:1: power: the recording has no channel 'power' with codes" in told
    assert f"{where}:3:7: flux.points[1]" not in told
    assert "flux.points[1]: is out of order" in told
    assert "flux.unti: unknown key\n    did you mean unit?" in told
    assert "p.cjc: flux is in 'V', and a cold junction has a temperature" in told
    assert not (archive.parent / "fixed.csv").exists()


def test_a_calibration_that_is_out_of_date_is_a_warning(archive: Path) -> None:
    done = convert(archive, "csv", "fixed.csv", "p: {linear: {scale: 4}, unit: bar, valid_until: 2020-01-01}")
    assert done.exit_code == 0
    assert "warning" in done.stderr
    assert "the calibration of p counted until 2020-01-01" in done.stderr


def test_a_file_that_lacks_a_cold_junction_says_so_and_can_be_converted_with_another_calibration(
    tmp_path: Path,
) -> None:
    facts = {"thermocouple": "K", "cjc": "cj", "unit": "degC", "input_unit": "V"}
    channel = Channel("tc", "degC", scale=1e-6, calibration=calibration_from(facts, "tc"))
    stream = Stream("run-1", "heat", "simulated", (channel,), "int16", 1000.0, N, "2026-11-23T09:00:00Z")
    writer = load_writer("hbuf")(OutputOptions(tmp_path / "archive.dt-raw"))
    writer.open(stream, 0, resume=False)
    writer.append([Block(0, 0, np.zeros((1, N), np.int16), Anchor(0, 0, 1_763_900_000_000_000_000))])
    writer.close()
    done = convert(tmp_path / "archive.dt-raw", "csv", "out.csv", None)
    assert done.exit_code == 2
    told = str(done.exception) if done.exception and not isinstance(done.exception, SystemExit) else done.output
    assert "channel 'tc' needs 'cj', which is not there" in told
    assert convert(tmp_path / "archive.dt-raw", "csv", "out.csv", "tc: {thermocouple: K, cjc: 25}").exit_code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].endswith(",25.0")


def test_a_recording_that_lacks_a_cold_junction_is_not_played(tmp_path: Path) -> None:
    facts = {"thermocouple": "K", "cjc": "cj", "unit": "degC", "input_unit": "V"}
    channel = Channel("tc", "degC", scale=1e-6, calibration=calibration_from(facts, "tc"))
    stream = Stream("run-1", "heat", "simulated", (channel,), "int16", 1000.0, N, "2026-11-23T09:00:00Z")
    writer = load_writer("hbuf")(OutputOptions(tmp_path / "archive.dt-raw"))
    writer.open(stream, 0, resume=False)
    writer.append([Block(0, 0, np.zeros((1, N), np.int16), Anchor(0, 0, 1_763_900_000_000_000_000))])
    writer.close()
    (tmp_path / "t.yaml").write_text(
        "board: {type: replay, path: archive.dt-raw}\nsinks: {t: {type: csv, path: t.csv}}\n"
    )
    with pytest.raises(TopologyError, match=r"board\.path.*channel 'tc' needs 'cj', which is not there"):
        load_plan(tmp_path / "t.yaml")
