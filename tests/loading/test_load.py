"""A recorded run as numbers: the same from each of its outputs, by span, with gaps and nulls told apart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from run_folders import ANCHOR, LONG_SINKS, N_SAMPLES, OVERRUN, SINKS, edit_record, items_of, record_run, stream_of

import dtopipe
from dtopipe.host.run_marks import mark_line
from dtopipe.model.engineering import engineering_values
from dtopipe.model.errors import SinkDependencyError, SinkError, UsageError
from dtopipe.model.marks import Mark
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block

STREAM = stream_of()
OPEN = range(543, 549)


def items() -> list[Block | Gap]:
    """A run with a hole, and with a sensor that was open for six samples."""
    status = np.zeros((2, 50), np.int8)
    status[0, 3:9] = 1
    return [
        replace(item, sensor_status=status) if isinstance(item, Block) and item.first_sample_index == 540 else item
        for item in items_of(STREAM)
    ]


INDEX = np.array([i for i in range(N_SAMPLES) if not OVERRUN.start <= i < OVERRUN.stop])
T_UTC_NS = ANCHOR.t_utc_ns + STREAM.clock.offsets_ns(0, N_SAMPLES)[INDEX]


def expected() -> list[np.ndarray[Any, Any]]:
    """The values of each channel, by what was handed to the writers."""
    blocks = [item for item in items() if isinstance(item, Block)]
    return [
        np.concatenate(
            [
                engineering_values(
                    channel, block.codes[c], None if block.sensor_status is None else block.sensor_status[c]
                )
                for block in blocks
            ]
        )
        for c, channel in enumerate(STREAM.channels)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = record_run(tmp_path_factory.mktemp("lab") / "runs" / "lab" / "20261123T090000Z", SINKS, items())
    (folder.parent / "latest").write_text(folder.name + "\n")
    return folder


@pytest.mark.parametrize("sink", SINKS)
def test_every_output_gives_the_same_numbers(folder: Path, sink: str) -> None:
    samples = dtopipe.load(folder).samples(sink=sink)
    assert samples.sample_index.tolist() == INDEX.tolist()
    assert samples.t_utc_ns.tolist() == T_UTC_NS.tolist()
    assert (samples.t_utc_ns - samples.t_mono_ns == ANCHOR.t_utc_ns - ANCHOR.t_mono_ns).all()
    for found, right in zip(samples.values, expected(), strict=True):
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("sink", LONG_SINKS)
def test_so_does_one_of_the_long_layout(tmp_path: Path, sink: str) -> None:
    run = dtopipe.load(record_run(tmp_path / "run", {sink: LONG_SINKS[sink]}, items()))
    samples = run.samples(["tc1", "flux"])
    assert samples.sample_index.tolist() == INDEX.tolist()
    for found, right in zip(samples.values, expected()[::-1], strict=True):
        np.testing.assert_array_equal(found, right)
    assert (
        run.samples("flux", (600, 700)).values[0].tolist() == expected()[0][INDEX.tolist().index(600) :][:100].tolist()
    )


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("name", ["flux", "tc1"])
def test_a_file_by_itself_gives_them_too(folder: Path, tmp_path: Path, sink: str, name: str) -> None:
    output = folder / SINKS[sink]["path"]
    for path in (output, output.with_name(output.name + ".dtopipe")):
        shutil.copyfile(path, tmp_path / path.name)
    run = dtopipe.load(tmp_path / output.name)
    assert run.rate_hz == 3000
    assert run.units == {"flux": "V", "tc1": "V"}
    np.testing.assert_array_equal(run.samples(name).values[0], expected()[["flux", "tc1"].index(name)])
    assert [(gap.span, gap.cause) for gap in run.gaps] == [(OVERRUN, Cause.BOARD_OVERRUN)]


@pytest.mark.parametrize("sink", SINKS)
def test_so_does_one_without_its_commit_record(folder: Path, tmp_path: Path, sink: str) -> None:
    copy = tmp_path / Path(SINKS[sink]["path"]).name
    shutil.copyfile(folder / SINKS[sink]["path"], copy)
    run = dtopipe.load(copy)
    assert run.channels == ("flux", "tc1")
    assert run.rate_hz == pytest.approx(3000, rel=1e-6)
    assert run.frame().shape == (len(INDEX), 2)
    assert run.verdict == {}
    assert run.record == {}


def test_a_file_in_a_run_folder_is_that_run_with_the_file_first(folder: Path) -> None:
    run = dtopipe.load(folder / "lines.jsonl")
    assert run.outputs[0] == "lines"
    assert set(run.outputs) == set(SINKS)
    assert run.verdict["state"] == "INCOMPLETE"


def test_what_a_file_is_its_first_bytes_tell_where_its_name_does_not(folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(folder / "columns.parquet", tmp_path / "columns.data")
    assert dtopipe.load(tmp_path / "columns.data").channels == ("flux", "tc1")
    shutil.copyfile(folder / "view.csv", tmp_path / "view.data")
    with pytest.raises(UsageError, match=r"view\.data is no output.*\n.*\.parquet"):
        dtopipe.load(tmp_path / "view.data")


def test_a_run_is_found_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parents[2])
    assert dtopipe.load("lab").path == folder
    assert dtopipe.load("lab/latest").path == folder
    assert dtopipe.load("lab/20261123T090000Z").path == folder
    assert dtopipe.load("runs/lab/latest").path == folder
    with pytest.raises(UsageError, match="there is no run 'lob'"):
        dtopipe.load("lob")


def test_a_run_without_outputs_is_refused_in_words(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    edit_record(copy, lambda record: record["sinks"].clear())
    with pytest.raises(UsageError, match="has no output that can be read here"):
        dtopipe.load(copy)


def test_loading_reads_nothing_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    before = {path: (path.read_bytes() if path.is_file() else None) for path in copy.rglob("*")}
    run = dtopipe.load(copy)
    for sink in run.outputs:
        run.frame(sink=sink, gaps="nan")
    assert {path: (path.read_bytes() if path.is_file() else None) for path in copy.rglob("*")} == before
    (copy / "columns.parquet").write_bytes(b"no such thing")
    run = dtopipe.load(copy)
    with pytest.raises(SinkError, match=r"columns\.parquet"):
        run.frame(sink="columns")


# UTC of sample 600, by an own calculation: 600 samples of 3 kHz are 0.2 s.
AT_600 = pd.Timestamp(ANCHOR.t_utc_ns + 200_000_000, tz="UTC")
SPANS = [
    ((600, 660), 600, 660),
    ((None, 20), 0, 20),
    ((980, None), 980, 1000),
    (("200ms", "0.22s"), 600, 660),
    ((timedelta(seconds=0.2), timedelta(seconds=0.22)), 600, 660),
    ((AT_600, "220ms"), 600, 660),
    ((AT_600.to_datetime64(), 660), 600, 660),
    ((AT_600.isoformat(), 660), 600, 660),
    ((np.int64(600), 660), 600, 660),
    (slice(600, 660), 600, 660),
    ((290, 345), 290, 345),
]


@pytest.mark.parametrize("sink", SINKS)
def test_a_span_is_told_in_many_ways(folder: Path, sink: str) -> None:
    run = dtopipe.load(folder)
    for span, start, stop in SPANS:
        found = run.samples(["tc1"], span, sink=sink)
        assert found.sample_index.tolist() == [i for i in INDEX.tolist() if start <= i < stop], span
        at = np.searchsorted(INDEX, found.sample_index)
        np.testing.assert_array_equal(found.values[0], expected()[1][at])


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ((10, 5), "ends before it begins"),
        ((-1, 5), "there is no sample -1"),
        ((1, 2, 3), "a span is .start, stop."),
        ("10", "a span is .start, stop."),
        (("ignition", None), "'ignition' is no time and no mark\n.*the run has no marks"),
        ((1.5, None), "cannot begin or end at 1.5"),
        ((True, None), "cannot begin or end at True"),
        (slice(0, 10, 2), "a span has no step"),
        (("10 parsec", None), "is no time and no mark"),
    ],
)
def test_a_span_that_is_none_is_refused_with_what_one_is(folder: Path, span: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        dtopipe.load(folder).samples(span=span)


def test_a_span_around_a_mark(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    marks = [Mark(1, "ignition", 600, 1, 1), Mark(2, "a - b", 700, 1, 1), Mark(3, "twice", 1, 1, 1)]
    lines = [json.dumps(mark_line(mark, "2026-11-23T09:00:00Z")) for mark in [*marks, replace(marks[2], number=4)]]
    (copy / "events.jsonl").write_text("\n".join(lines) + "\n")
    run = dtopipe.load(copy)
    assert [mark.label for mark in run.marks] == ["twice", "twice", "ignition", "a - b"]
    for span, start, stop in [
        (("ignition", "a - b"), 600, 700),
        (("ignition - 10ms", "ignition+20ms"), 570, 660),
        (("a - b - 10ms", None), 670, 1000),
        (("ignition - 1h", 20), 0, 20),
    ]:
        assert run.samples(span=span).sample_index.tolist() == [i for i in INDEX.tolist() if start <= i < stop]
    with pytest.raises(UsageError, match=r"'ignitoin' is no time and no mark\n.*did you mean ignition"):
        run.samples(span=("ignitoin", None))
    with pytest.raises(UsageError, match=r"2 marks are called 'twice'\n.*1, 1"):
        run.samples(span=("twice", None))


def test_a_frame_is_over_utc_and_knows_its_units(folder: Path) -> None:
    frame = dtopipe.load(folder).frame(["tc1"], span=(295, 345))
    assert frame.index.name == "t_utc"
    assert str(frame.index.tz) == "UTC"
    assert frame.index.asi8.tolist() == T_UTC_NS[(INDEX >= 295) & (INDEX < 345)].tolist()
    assert list(frame.columns) == ["tc1"]
    assert frame.attrs["units"] == {"tc1": "V"}
    assert frame.attrs["run_id"] == "run-1"
    assert frame.attrs["verdict"] == "INCOMPLETE"


def test_gaps_become_rows_of_nan_where_that_is_wanted(folder: Path) -> None:
    run = dtopipe.load(folder)
    frame = run.frame(gaps="nan")
    assert len(frame) == N_SAMPLES
    assert frame.index.asi8.tolist() == (ANCHOR.t_utc_ns + STREAM.clock.offsets_ns(0, N_SAMPLES)).tolist()
    assert frame.iloc[OVERRUN.start : OVERRUN.stop].isna().all().all()
    inside = run.samples(span=(310, 320))
    assert len(inside) == 0
    table = run.table(span=(310, 320), gaps="nan")
    assert table["sample_index"].to_pylist() == list(range(310, 320))
    assert table["t_mono_ns"].to_pylist() == (ANCHOR.t_mono_ns + STREAM.clock.offsets_ns(310, 10)).tolist()
    assert table["tc1"].null_count == 10
    with pytest.raises(UsageError, match="gaps cannot be 'zero'"):
        run.frame(gaps="zero")  # type: ignore[arg-type]


def test_a_gap_of_a_night_is_not_made_of_rows(tmp_path: Path) -> None:
    stream = stream_of()
    before = [item for item in items_of(stream) if item.span.stop <= 300]
    night = Gap(Span(300, 300 + 2**31), Cause.BOARD_AWAY, ANCHOR.t_utc_ns + stream.clock.offset_ns(300))
    run = dtopipe.load(record_run(tmp_path / "run", {"archive": SINKS["archive"]}, [*before, night]))
    with pytest.raises(UsageError, match="rows are too many"):
        run.frame(gaps="nan")
    assert len(run.frame(span=(290, 310), gaps="nan")) == 20


def test_null_and_gap_are_told_apart(folder: Path) -> None:
    quality = dtopipe.load(folder).quality()
    assert len(quality) == N_SAMPLES
    flux = quality["flux"].to_numpy()
    assert (flux[OVERRUN.start : OVERRUN.stop] == "gap").all()
    assert (quality["tc1"].to_numpy()[OVERRUN.start : OVERRUN.stop] == "gap").all()
    assert np.flatnonzero(flux == "null").tolist() == list(OPEN)
    assert not (quality["tc1"] == "null").any()
    assert (flux == "ok").sum() == N_SAMPLES - len(OVERRUN) - len(OPEN)


def test_an_arrow_table_has_units_and_nulls(folder: Path) -> None:
    table = dtopipe.load(folder).table()
    assert table.schema.names == ["sample_index", "t_mono_ns", "t_utc", "flux", "tc1"]
    assert table.schema.field("t_utc").type == pa.timestamp("ns", tz="UTC")
    assert table.schema.field("flux").metadata == {b"unit": b"V"}
    assert table["flux"].null_count == len(OPEN)
    assert table.schema.metadata[b"run_id"] == b"run-1"


def test_a_dataset_has_units(folder: Path) -> None:
    pytest.importorskip("xarray")
    dataset = dtopipe.load(folder).xarray(["tc1"], span=(0, 10))
    assert dataset["tc1"].attrs["units"] == "V"
    assert dataset["t_utc"].values.view(np.int64).tolist() == T_UTC_NS[:10].tolist()
    assert dataset["sample_index"].values.tolist() == list(range(10))


def test_readings_are_loaded_with_their_own_times(tmp_path: Path) -> None:
    from run_folders import readings

    stream = stream_of(polled=True, dtype="float64")
    sinks = {name: sink for name, sink in SINKS.items() if name != "archive"}
    run = dtopipe.load(record_run(tmp_path / "run", sinks, [readings(stream, 0, 40)], stream))
    for sink in run.outputs:
        frame = run.frame(["flux"], span=(10, 20), gaps="nan", sink=sink)
        assert frame.index.asi8.tolist() == [ANCHOR.t_utc_ns + 1_000_003 * i for i in range(10, 20)]
        assert frame["flux"].isna().tolist() == [i % 7 == 3 for i in range(10, 20)]


def test_unknown_names_are_told_with_the_nearest(folder: Path) -> None:
    run = dtopipe.load(folder)
    with pytest.raises(UsageError, match=r"there is no channel 'flx'.*\n.*did you mean flux"):
        run.frame(["flx"])
    with pytest.raises(UsageError, match=r"there is no output 'archiv'.*\n.*did you mean archive"):
        run.frame(sink="archiv")


def test_a_picture_shows_each_channel_and_shades_the_gaps(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = dtopipe.load(folder).plot()
    axes = figure.axes
    assert [axis.get_ylabel() for axis in axes] == ["flux\n[V]", "tc1\n[V]"]
    shaded = [patch.get_extents() for patch in axes[0].patches]
    assert len(shaded) == 1
    line = np.asarray(axes[0].lines[0].get_ydata())
    # It is broken at the gap, and where the sensor was open.
    assert np.isnan(line).sum() == 1 + len(OPEN)
    figure.savefig(tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 10_000


def test_a_library_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SinkDependencyError, match=r"dtopipe\[pandas\]"):
        dtopipe.load(folder).frame()


def test_a_span_reads_no_more_than_it_needs(folder: Path, tmp_path: Path) -> None:
    """Damage elsewhere in a raw file does not matter to a span before it."""
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    path = copy / "archive.dt-raw"
    data = bytearray(path.read_bytes())
    data[-100:-90] = bytes(10)
    path.write_bytes(data)
    run = dtopipe.load(copy)
    assert len(run.samples(span=(0, 200), sink="archive")) == 200
    with pytest.raises(SinkError, match="damaged"):
        run.samples(sink="archive")


def test_a_view_with_more_columns_is_not_what_is_loaded_first(tmp_path: Path) -> None:
    trend = {"type": "csv", "path": "trend.csv", "every": "10ms", "reduce": "minmax"}
    run = dtopipe.load(record_run(tmp_path / "run", {"trend": trend, "table": SINKS["table"]}))
    assert (run.outputs, run.channels) == (("table", "trend"), ("flux", "tc1"))
