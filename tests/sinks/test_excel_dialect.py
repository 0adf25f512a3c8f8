"""CSV in the dialect of Excel: what stands in it, and that it is read back as exactly as the other one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import daq
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import ANCHOR, block, blocks, codes_of, gap, polled, readings, recorded

import dtopipe
from dtopipe.errors import SinkError, SinkOptionError
from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.errors import SinkDependencyError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.span import Cause
from dtopipe.model.stream import Block, Channel, SensorStatus, Stream
from dtopipe.sinks import CsvSink
from dtopipe.sinks.contract import OutputOptions, remark_of
from dtopipe.sinks.text.dialects import csv_reader, csv_writer
from dtopipe.sinks.text.excel import ExcelForm, guarded, unguarded
from dtopipe.sinks.text.excel_cells import decimals_of, seconds_ns, seconds_text
from dtopipe.sinks.text.limits import MOST_ROWS

COMMA = {"dialect": "excel", "decimal": ","}
FORMS = {"comma": COMMA, "point": {"dialect": "excel"}, "tab": {"dialect": "excel", "delimiter": "tab"}}
PAGE = 4096


def written(
    path: Path, stream: Stream, items: list[Any], options: dict[str, Any] = COMMA, on_exists: OnExists = OnExists.ERROR
) -> str:
    writer = csv_writer(OutputOptions(path, on_exists=on_exists), **options)
    writer.open(stream, 0, resume=False)
    for item in items:
        writer.append([item])
        writer.commit()
    writer.close()
    return path.read_text(encoding="utf-8")


def test_a_row_has_seconds_a_date_and_values_under_titles_with_units(tmp_path: Path) -> None:
    stream = recorded(("tc1", "a;b", 'say "x"', "=1+1"))
    stream = replace(stream, channels=(*stream.channels[:3], replace(stream.channels[3], unit="")), rate_hz=10_000.0)
    values = np.array([[0], [-32768], [1], [2]], np.int16)
    status = np.array([[0], [0], [0], [1]], np.int8)
    text = written(tmp_path / "a.csv", stream, [Block(0, 12_345, values, ANCHOR, status)])
    assert text.splitlines() == [
        """\ufeffsample_index;time [s];UTC;tc1 [V];"a;b [V]";"say ""x"" [V]";'=1+1""",
        "12345;1,2345;2025-11-23 12:13:21,234500456;0,25;-4,75;0,250152587890625;",
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rate_hz", [1.0, 3000.0, 10_000.0, 0.01])
def test_times_of_every_epoch_come_back_to_the_nanosecond(form: str, rate_hz: float, tmp_path: Path) -> None:
    stream = replace(recorded(), rate_hz=rate_hz)
    later = Anchor(500, ANCHOR.t_mono_ns + 777_777_777_777_777, ANCHOR.t_utc_ns + 777_777_777_778_901)
    items = [block(stream, 100, 300), replace(block(stream, 500, 700), anchor=later)]
    written(tmp_path / "a.csv", stream, items, FORMS[form])
    found = list(csv_reader(tmp_path / "a.csv", "run-1").batches())
    clock = SampleClock(rate_hz)
    for name, ahead_ns in (("t_mono_ns", 0), ("t_utc_ns", ANCHOR.t_utc_ns - ANCHOR.t_mono_ns)):
        times = np.concatenate([getattr(rows, name) for rows in found])
        assert times[:200].tolist() == (ANCHOR.t_mono_ns + ahead_ns + clock.offsets_ns(100, 200)).tolist()
        at = later.t_utc_ns if name == "t_utc_ns" else later.t_mono_ns
        assert times[200:].tolist() == (at + clock.offsets_ns(0, 200)).tolist()


@given(st.integers(-(10**15), 10**17), st.integers(0, 12))
def test_seconds_come_back_to_the_nanosecond(ns: int, n_zeros: int) -> None:
    assert seconds_ns(seconds_text(ns).encode()) == ns
    assert seconds_ns(seconds_text(ns).encode() + b"0" * n_zeros) == ns


@pytest.mark.parametrize(
    ("rate_hz", "first_ns", "n_decimals"),
    [(1.0, 0, 1), (10.0, 0, 1), (1000.0, 0, 3), (10_000.0, 12_000, 6), (3.0, 0, 9), (1000.0, 7, 9), (0.01, 0, 1)],
)
def test_seconds_have_as_many_decimals_as_their_epoch_needs(rate_hz: float, first_ns: int, n_decimals: int) -> None:
    assert decimals_of(SampleClock(rate_hz), first_ns) == n_decimals


@given(st.text("'=+-@\t\r\nab", max_size=6))
def test_no_text_is_a_formula_and_each_comes_back(text: str) -> None:
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("form", FORMS)
def test_texts_of_readings_are_as_they_were_and_no_formulas(form: str, tmp_path: Path) -> None:
    stream = replace(polled(("=x", "b,c;d")), device="@home, \"sweet\"", task="-1")  # fmt: skip
    text = written(tmp_path / "a.csv", stream, [readings(stream, 0, 200), readings(stream, 200, 300)], FORMS[form])
    assert "'@home, " in text
    assert 'it said ""no"",\nand ""never""' in text
    found = list(csv_reader(tmp_path / "a.csv", "run-1").readings())
    wanted = readings(stream, 0, 300)
    for number, column in enumerate(wanted.columns):
        assert [value for each in found for value in each.columns[number]] == list(column), number
    alone = csv_reader(tmp_path / "a.csv", "run-1").columns()
    assert alone[:3] == ["sample_index", "t_mono_ns", "t_utc"]
    assert csv_reader(tmp_path / "a.csv", "run-1").misworded(stream, is_long=False) == (0, 0)


@pytest.mark.parametrize("form", FORMS)
def test_texts_that_look_like_numbers_are_as_they_were(form: str, tmp_path: Path) -> None:
    stream = replace(polled(("1.5", "2")), device="007", task="1.50")
    rows = [readings(stream, at, at + 100) for at in range(0, 2000, 100)]
    rows = [replace(each, columns=[*each.columns[:-1], ["1.5"] * 100]) for each in rows]
    written(tmp_path / "a.csv", stream, rows, FORMS[form])
    data = (tmp_path / "a.csv").read_bytes()
    assert all(data[at - 1 : at] == b"\n" for at in range(PAGE, len(data), PAGE))
    found = list(csv_reader(tmp_path / "a.csv", "run-1").readings())
    for number in range(len(rows[0].columns)):
        wanted = [value for each in rows for value in each.columns[number]]
        assert [value for each in found for value in each.columns[number]] == wanted


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channel", ["voltage", "raw"])
@pytest.mark.parametrize("n_channels", [1, 30])
def test_no_line_lies_across_two_pages(form: str, channel: str, n_channels: int, tmp_path: Path) -> None:
    stream = recorded(tuple(f"c{n}" for n in range(n_channels)), kind=channel)
    status = np.full((n_channels, 100), SensorStatus.OPEN, np.int8)
    items = [*blocks(stream, 0, 1400), block(stream, 1400, 1500, status=status)]
    written(tmp_path / "a.csv", stream, items, FORMS[form])
    data = (tmp_path / "a.csv").read_bytes()
    assert all(data[at - 1 : at] == b"\n" for at in range(PAGE, len(data), PAGE))
    found = list(csv_reader(tmp_path / "a.csv", "run-1").batches())
    assert np.concatenate([rows.sample_index for rows in found]).tolist() == list(range(1500))
    codes = codes_of(n_channels, 0, 1400).astype(float)
    values = codes if channel == "raw" else codes * (10 / 65536) + 0.25
    for number in range(n_channels):
        column = np.concatenate([rows.values[number] for rows in found])
        np.testing.assert_array_equal(column[:1400], values[number])
        assert np.isnan(column[1400:]).all()


@pytest.mark.parametrize("n_channels", [2, 40])
def test_other_readers_have_the_same_numbers(n_channels: int, tmp_path: Path) -> None:
    stream = recorded(tuple(f"c{n}" for n in range(n_channels)))
    written(path := tmp_path / "a.csv", stream, blocks(stream, 0, 2000))
    with duckdb.connect() as connection:
        query = f"SELECT * FROM read_csv('{path}', delim=';', decimal_separator=',')"
        in_duckdb = connection.execute(query).fetchnumpy()
    frames: list[Any] = [
        pd.read_csv(path, sep=";", decimal=","),
        pl.read_csv(path, separator=";", decimal_comma=True),
        in_duckdb,
    ]
    for frame in frames:
        assert np.asarray(frame["sample_index"]).tolist() == list(range(2000))
        np.testing.assert_allclose(np.asarray(frame["time [s]"]), np.arange(2000) / 1000, atol=1e-12)
        np.testing.assert_allclose(np.asarray(frame["c1 [V]"]), codes_of(2, 0, 2000)[1] * (10 / 65536) + 0.25)


def test_the_same_rows_are_the_same_bytes_however_many_are_written_and_wherever_it_was_killed(tmp_path: Path) -> None:
    stream = recorded()
    hole = gap(stream, 300, 400)
    some = written(tmp_path / "a.csv", stream, [*blocks(stream, 0, 300, 7), hole, *blocks(stream, 400, 900, 7)])
    writer = csv_writer(OutputOptions(tmp_path / "b.csv"), **COMMA)
    writer.open(stream, 0, resume=False)
    # Nothing says yet when sample 0 was.
    writer.commit()
    writer.abandon()
    for at in (0, 1, 299):
        writer = csv_writer(OutputOptions(tmp_path / "b.csv"), **COMMA)
        assert writer.open(stream, 0, resume=True).committed == at
        writer.append(blocks(stream, at, {0: 1, 1: 299, 299: 300}[at], 1000))
        writer.commit()
        if at < 299:
            writer.append([block(stream, {0: 1, 1: 299}[at], 300)])
            writer.abandon()
    writer.append([hole, *blocks(stream, 400, 900)])
    writer.close()
    assert (tmp_path / "b.csv").read_text() == some


def test_rows_behind_the_last_commit_have_their_times(tmp_path: Path) -> None:
    stream = recorded()
    writer = csv_writer(OutputOptions(tmp_path / "a.csv"), **COMMA)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 50))
    writer.abandon()
    reader = csv_reader(tmp_path / "a.csv", "run-1")
    assert reader.position().committed == 0
    assert [int(rows.t_mono_ns[0]) for rows in reader.rows_behind()] == [ANCHOR.t_mono_ns]


@pytest.mark.parametrize("other", [{"dialect": "excel"}, {"dialect": "excel", "delimiter": ";"}, {}])
def test_runs_of_the_same_signs_follow_each_other_and_no_others(other: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for number in range(2):
        stream = recorded(run_id=f"run-{number}")
        written(path, stream, blocks(stream, 0, 150), on_exists=OnExists.APPEND)
    before = path.read_bytes()
    assert before.count(b"\xef\xbb\xbf") == 1
    for number in range(2):
        rows = list(csv_reader(path, f"run-{number}").batches())
        assert sum(len(part.sample_index) for part in rows) == 150
        assert rows[0].t_mono_ns[0] == ANCHOR.t_mono_ns
    with pytest.raises(SinkError, match="append to a file of the same"):
        written(path, recorded(run_id="run-9"), [], other, OnExists.APPEND)
    assert path.read_bytes() == before


def test_a_plain_file_is_not_appended_to(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", recorded(), blocks(recorded(), 0, 20), {})
    with pytest.raises(SinkError, match="append to a file of the same"):
        written(tmp_path / "a.csv", recorded(run_id="run-2"), [], COMMA, OnExists.APPEND)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_alone_has_its_channels_units_and_dates(form: str, tmp_path: Path) -> None:
    stream = recorded(("tc1", "'=a", "p [x"))
    written(tmp_path / "a.csv", stream, blocks(stream, 0, 500), FORMS[form])
    beside = dtopipe.load(tmp_path / "a.csv").samples()
    (tmp_path / "a.csv.dtopipe").unlink()
    alone = dtopipe.load(tmp_path / "a.csv")
    assert alone.units == {"tc1": "V", "'=a": "V", "p [x": "V"}
    assert alone.rate_hz == 1000.0
    found = alone.samples()
    np.testing.assert_array_equal(found.t_utc_ns, beside.t_utc_ns)
    np.testing.assert_array_equal(found.t_mono_ns, beside.t_mono_ns - ANCHOR.t_mono_ns)
    for one, other in zip(found.values, beside.values, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_first_line_that_is_damaged_is_named_and_the_rows_are_read(tmp_path: Path) -> None:
    stream = recorded()
    written(tmp_path / "a.csv", stream, blocks(stream, 0, 100))
    data = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv").write_bytes(b"\0" * 9 + data[9:])
    reader = csv_reader(tmp_path / "a.csv", "run-1")
    damage: list[str] = []
    assert sum(len(rows.sample_index) for rows in reader.sound_batches(damage.append)) == 100
    assert damage == [f"bytes 0 to {data.index(10) + 1} are damaged"]
    assert reader.misworded(stream, is_long=False) == (1, 1)


def test_titles_that_would_be_alike_are_refused(tmp_path: Path) -> None:
    stream = recorded(("UTC", "b"))
    stream = replace(stream, channels=(Channel("UTC"), Channel("b", "V")))
    with pytest.raises(SinkError, match="two columns would be titled 'UTC'"):
        written(tmp_path / "a.csv", stream, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dialect": "exel"}, "did you mean excel"),
        ({"decimal": ","}, "the dialect rfc4180 has no decimal"),
        ({"dialect": "excel", "locale": "de_DE", "decimal": "."}, "a locale has a decimal sign of its own"),
        ({"dialect": "excel", "locale": "de_XX"}, "did you mean de_DE"),
        ({"dialect": "excel", "locale": "german"}, "written like de_DE"),
        ({"dialect": "excel", "decimal": ",", "delimiter": ","}, "a number would be two cells"),
        ({"dialect": "excel", "decimal": ":"}, "point or comma"),
        ({"dialect": "excel", "delimiter": "|"}, "comma, semicolon or tab"),
        ({"dialect": "excel", "layout": "long"}, "no layout long"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SinkOptionError, match=words):
        CsvSink(tmp_path / "a.csv", **options)


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ((None, None, None), ExcelForm(".", ",")),
        (("de_DE", None, None), ExcelForm(",", ";")),
        (("de-AT", None, "tab"), ExcelForm(",", "\t")),
        (("en_US", None, None), ExcelForm(".", ",")),
        (("de_CH", None, "semicolon"), ExcelForm(".", ";")),
        ((None, "comma", None), ExcelForm(",", ";")),
        ((None, ",", "\t"), ExcelForm(",", "\t")),
    ],
)
def test_a_language_gives_the_signs_and_the_environment_does_not(
    options: tuple[str | None, str | None, str | None], form: ExcelForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")
    assert ExcelForm.of(*options) == form


def test_a_locale_without_babel_names_the_extra_and_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(SinkDependencyError, match=r"dtopipe\[excel\]"):
        ExcelForm.of("de_DE", None, None)
    assert ExcelForm.of(None, ",", None) == ExcelForm(",", ";")


def test_an_output_of_more_rows_than_a_sheet_says_so(tmp_path: Path) -> None:
    stream = recorded(("a",), kind="raw")
    for number, (n_rows, is_more) in enumerate([(MOST_ROWS - 1, False), (5, True)]):
        writer = csv_writer(OutputOptions(tmp_path / "a.csv", on_exists=OnExists.APPEND), **COMMA)
        writer.open(replace(stream, run_id=f"run-{number}"), 0, resume=False)
        writer.append([Block(0, 0, np.zeros((1, n_rows), np.int16), ANCHOR)])
        writer.close()
        assert ("it has 1,048,581 rows" in remark_of(writer)) == is_more
        assert bool(remark_of(writer)) == is_more


@pytest.mark.anyio
async def test_a_program_writes_blocks_and_readings_in_it(tmp_path: Path) -> None:
    async with CsvSink(tmp_path / "a.csv", accept_blocks=True, dialect="excel", locale="de_DE") as sink:
        await sink.write(daq.block(data=np.array([[0.5, 1.5], [2.5, 3.5]]), n=2, raw_codes=None))
    assert (tmp_path / "a.csv").read_text(encoding="utf-8-sig").splitlines() == [
        "sample_index;time [s];UTC;a [V];b [V]",
        "0;0,000;2026-11-22 23:41:00,000000000;0,5;2,5",
        "1;0,001;2026-11-22 23:41:00,001000000;1,5;3,5",
    ]
    async with CsvSink(tmp_path / "b.csv", dialect="excel", delimiter="tab") as sink:
        await sink.write_many([daq.reading(0, {"T": 20.5}), daq.reading(1, {"T": None}, device="=dev")])
    titles, *rows = (tmp_path / "b.csv").read_text(encoding="utf-8-sig").splitlines()
    assert titles.split("\t")[:6] == ["sample_index", "time [s]", "UTC", "device", "task", "midpoint [s]"]
    assert titles.split("\t")[9:] == ["T [V]", "T_unit", "error_type", "error_message"]
    assert [row.split("\t")[1:4] for row in rows] == [
        ["0.0", "2026-11-22 23:41:00.000000000", "dev"],
        ["1.0", "2026-11-22 23:41:01.000000000", "'=dev"],
    ]
    assert [row.split("\t")[9] for row in rows] == ["20.5", ""]


def test_what_is_infinite_is_an_empty_cell(tmp_path: Path) -> None:
    stream = recorded(("a", "b"), dtype="float64")
    values = np.array([[1e-7, np.inf], [np.nan, -1e300]])
    text = written(
        tmp_path / "a.csv", replace(stream, channels=(Channel("a"), Channel("b"))), [Block(0, 0, values, ANCHOR)]
    )
    assert [line.split(";")[3:] for line in text.splitlines()[1:]] == [["1e-07", ""], ["", "-1e+300"]]


def test_gaps_are_in_the_commit_record_alone(tmp_path: Path) -> None:
    stream = recorded()
    text = written(tmp_path / "a.csv", stream, [gap(stream, 0, 40, Cause.POLICY_DROP), block(stream, 40, 60)])
    assert [line.partition(";")[0] for line in text.splitlines()[1:]] == [str(n) for n in range(40, 60)]
    assert text.splitlines()[1].startswith("40;0,040")
    assert [each.cause for each in csv_reader(tmp_path / "a.csv", "run-1").gaps()] == [Cause.POLICY_DROP]


def test_the_layout_long_has_no_such_dialect(tmp_path: Path) -> None:
    with pytest.raises(SinkOptionError, match="no layout long"):
        csv_writer(OutputOptions(tmp_path / "a.csv", Layout.LONG), **COMMA)
