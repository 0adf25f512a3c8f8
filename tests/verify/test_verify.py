"""What `verify` must find in an output, and whom it must not blame for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import (
    ANCHOR,
    HOUR_NS,
    LONG_SINKS,
    N_SAMPLES,
    OVERRUN,
    SINKS,
    STEP,
    edit_record,
    items_of,
    readings,
    record_run,
    reports,
    rewrite_parquet,
    stream_of,
    verified,
)

from dtopipe.core.verdict import VerdictState
from dtopipe.model.clock import Anchor, iso_utc
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions, OutputRows
from dtopipe.sinks.registry import OURS
from dtopipe.sinks.text.csv import CsvWriter
from dtopipe.wire.gap_lines import gap_line, json_line

N_ROWS = N_SAMPLES - len(OVERRUN)
# Behind the hole, and in a block of its own.
SAMPLE = 420
ROW = SAMPLE - len(OVERRUN)
Change = Callable[[Path], None]


def _lines_changed(path: Path, change: Callable[[list[str]], list[str]], n_header: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:n_header], *change(lines[n_header:])]))


def _in_text(name: str, change: Callable[[list[str]], list[str]]) -> Change:
    return lambda folder: _lines_changed(folder / name, change, 1 if name.endswith("csv") else 0)


def _sql(statement: str) -> Change:
    def change(folder: Path) -> None:
        with sqlite3.connect(folder / "run.db") as connection:
            assert connection.execute(statement).rowcount > 0
        connection.close()

    return change


def _in_parquet(change: Callable[[Any], Any]) -> Change:
    return lambda folder: rewrite_parquet(folder / "columns.parquet", change)


def _t_utc(sample: int) -> str:
    return iso_utc(ANCHOR.t_utc_ns + stream_of().clock.offset_ns(sample))


def _with_time_moved(lines: list[str]) -> list[str]:
    old, new = _t_utc(SAMPLE), iso_utc(ANCHOR.t_utc_ns + stream_of().clock.offset_ns(SAMPLE) + HOUR_NS)
    assert old in lines[ROW]
    return [line.replace(old, new) for line in lines]


def _with_time_moved_in_a_sheet(lines: list[str]) -> list[str]:
    assert ";0,140000000;" in lines[ROW]
    return [*lines[:ROW], lines[ROW].replace(";0,140000000;", ";3600,140000000;"), *lines[ROW + 1 :]]


def _row_replaced(table: Any, column: str, value: Any) -> Any:
    import pyarrow as pa

    number = table.schema.get_field_index(column)
    field = table.schema.field(number)
    values = table.column(number).cast(pa.int64() if "t_" in column else field.type).to_pylist()
    values[ROW] = value(values[ROW])
    return table.set_column(number, field, pa.array(values, pa.int64()).cast(field.type)
                            if "t_" in column else pa.array(values, field.type))  # fmt: skip


def _reordered(order: Callable[[list[int]], list[int]]) -> Callable[[Any], Any]:
    return lambda table: table.take(order(list(range(table.num_rows))))


def _swapped(rows: list[Any]) -> list[Any]:
    return [*rows[:ROW], rows[ROW + 1], rows[ROW], *rows[ROW + 2 :]]


def _doubled(rows: list[Any]) -> list[Any]:
    return [*rows[: ROW + 1], *rows[ROW:]]


def _deleted(rows: list[Any]) -> list[Any]:
    return [*rows[:ROW], *rows[ROW + 1 :]]


def _fields_swapped(lines: list[str]) -> list[str]:
    rows = [line.rstrip("\n").split(",") for line in lines]
    return [",".join([*row[:3], row[4], row[3]]) + "\n" for row in rows]


def _value_changed_in_csv(lines: list[str]) -> list[str]:
    row = lines[ROW].rstrip("\n").split(",")
    return [*lines[:ROW], ",".join([*row[:-1], "0.5"]) + "\n", *lines[ROW + 1 :]]


def _value_changed_in_a_sheet(lines: list[str]) -> list[str]:
    return [*lines[:ROW], lines[ROW].rpartition(";")[0] + ";0,5\n", *lines[ROW + 1 :]]


def _cells_swapped(lines: list[str]) -> list[str]:
    rows = [line.rstrip("\n").split(";") for line in lines]
    return [";".join([*row[:3], row[4], row[3]]) + "\n" for row in rows]


def _json_changed(change: Callable[[dict[str, Any]], None], rows: Sequence[int] = (ROW,)) -> Callable[[list[str]], Any]:
    def changed(lines: list[str]) -> list[str]:
        for row in rows:
            document = json.loads(lines[row])
            change(document)
            lines[row] = json.dumps(document, separators=(",", ":")) + "\n"
        return lines

    return changed


def _exchange(document: dict[str, Any]) -> None:
    document["flux"], document["tc1"] = document["tc1"], document["flux"]


def _columns_exchanged(table: Any) -> Any:
    names = table.column_names
    return table.set_column(names.index("flux"), "flux", table.column("tc1")).set_column(
        names.index("tc1"), "tc1", table.column("flux")
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with every kind of file, a hole and some nulls."""
    return record_run(tmp_path / "run")


def _whole(folder: Path, *but: str) -> None:
    """All outputs but these are as recorded."""
    assert {
        name: report.problems for name, report in reports(folder).items() if name not in but and report.problems
    } == {}


def test_a_run_as_it_was_written_has_no_problem_and_all_of_it_was_compared(run: Path) -> None:
    found = reports(run)
    _whole(run)
    assert {name: report.compared_with for name, report in found.items()} == {
        "archive": None, "view": "archive", "lines": "archive", "table": "archive", "columns": "archive",
            "arrays": "archive", "sheet": "archive",
    }  # fmt: skip
    assert {report.not_compared for report in found.values()} == {None}
    assert {report.rows for report in found.values()} == {N_ROWS}
    assert {report.covered for report in found.values()} == {(Span(0, OVERRUN.start), Span(OVERRUN.stop, N_SAMPLES))}
    assert verified(run).verdict.state is VerdictState.INCOMPLETE
    assert verified(run).inconsistent == verified(run).damaged_files == ()


TIME_MOVED = {
    "view": _in_text("view.csv", _with_time_moved),
    "sheet": _in_text("sheet.csv", _with_time_moved_in_a_sheet),
    "lines": _in_text("lines.jsonl", _with_time_moved),
    "table": _sql(f"UPDATE samples SET t_utc_ns = t_utc_ns + {HOUR_NS} WHERE sample_index = {SAMPLE}"),
    "columns": _in_parquet(lambda table: _row_replaced(table, "t_utc", lambda ns: ns + HOUR_NS)),
}


@pytest.mark.parametrize("name", TIME_MOVED)
def test_a_time_that_was_moved_is_named_with_its_range(run: Path, name: str) -> None:
    TIME_MOVED[name](run)
    report = reports(run)[name]
    assert report.mistimed == report.differing == (Span(SAMPLE, SAMPLE + 1),)
    assert f"times differ from archive: [{SAMPLE}, {SAMPLE + 1})" in report.problems
    _whole(run, name)
    assert verified(run).verdict.state is VerdictState.DEGRADED


@pytest.mark.parametrize("name", TIME_MOVED)
def test_a_time_that_was_moved_is_named_where_nobody_else_has_the_samples(tmp_path: Path, name: str) -> None:
    folder = record_run(tmp_path / "run", {name: SINKS[name]})
    assert reports(folder)[name].problems == ()
    TIME_MOVED[name](folder)
    report = reports(folder)[name]
    assert report.mistimed == (Span(SAMPLE, SAMPLE + 1),)
    assert f"times are not those of the sample clock: [{SAMPLE}, {SAMPLE + 1})" in report.problems


VALUE_CHANGED = {
    "view": _in_text("view.csv", _value_changed_in_csv),
    "sheet": _in_text("sheet.csv", _value_changed_in_a_sheet),
    "lines": _in_text("lines.jsonl", _json_changed(lambda row: row.update(tc1=0.5))),
    "table": _sql(f"UPDATE samples SET tc1 = 0.5 WHERE sample_index = {SAMPLE}"),
    "columns": _in_parquet(lambda table: _row_replaced(table, "tc1", lambda _: 0.5)),
}
NULL_CHANGED = {
    "lines": _in_text("lines.jsonl", _json_changed(lambda row: row.update(tc1=None))),
    "table": _sql(f"UPDATE samples SET tc1 = NULL WHERE sample_index = {SAMPLE}"),
    "columns": _in_parquet(lambda table: _row_replaced(table, "tc1", lambda _: None)),
}


@pytest.mark.parametrize(
    ("name", "changes"), [(n, VALUE_CHANGED) for n in VALUE_CHANGED] + [(n, NULL_CHANGED) for n in NULL_CHANGED]
)
def test_a_value_that_was_changed_is_named(run: Path, name: str, changes: dict[str, Change]) -> None:
    changes[name](run)
    report = reports(run)[name]
    assert report.differing == (Span(SAMPLE, SAMPLE + 1),)
    assert report.mistimed == ()
    assert f"1 samples differ from archive: [{SAMPLE}, {SAMPLE + 1})" in report.problems
    _whole(run, name)


CHANNELS_SWAPPED = {
    "view": _in_text("view.csv", _fields_swapped),
    "sheet": _in_text("sheet.csv", _cells_swapped),
    "lines": _in_text("lines.jsonl", _json_changed(_exchange, range(N_ROWS))),
    "table": _sql("UPDATE samples SET flux = tc1, tc1 = flux"),
    "columns": _in_parquet(_columns_exchanged),
}


@pytest.mark.parametrize("name", CHANNELS_SWAPPED)
def test_a_column_that_was_swapped_with_another_is_named(run: Path, name: str) -> None:
    CHANNELS_SWAPPED[name](run)
    found = reports(run)
    assert sum(map(len, found[name].differing)) > N_ROWS - 5
    _whole(run, name)


ROWS_SPOILT = {
    "swapped": ("its rows are not in order", _swapped),
    "doubled": (f"1 samples stand in it twice: [{SAMPLE}, {SAMPLE + 1})", _doubled),
    "deleted": (f"1 samples are neither in it nor in a gap: [{SAMPLE}, {SAMPLE + 1})", _deleted),
}


@pytest.mark.parametrize("kind", ROWS_SPOILT)
@pytest.mark.parametrize("name", ["view", "sheet", "lines", "columns"])
def test_rows_swapped_doubled_or_deleted_are_named(run: Path, name: str, kind: str) -> None:
    words, change = ROWS_SPOILT[kind]
    if name == "columns":
        rewrite_parquet(run / "columns.parquet", _reordered(change))
    else:
        _in_text(SINKS[name]["path"], change)(run)
    assert words in reports(run)[name].problems
    _whole(run, name)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"INSERT INTO samples SELECT * FROM samples WHERE sample_index = {SAMPLE}", "1 samples stand in it twice"),
        (f"DELETE FROM samples WHERE sample_index = {SAMPLE}", "1 samples are neither in it nor in a gap"),
        (f"UPDATE samples SET sample_index = 841 - sample_index WHERE sample_index IN ({SAMPLE}, {SAMPLE + 1})",
         "its rows are not in order"),
    ],
)  # fmt: skip
def test_rows_of_a_database_spoilt_are_named(run: Path, statement: str, words: str) -> None:
    _sql(statement)(run)
    assert any(words in problem for problem in reports(run)["table"].problems)
    _whole(run, "table")


BLOCK_AT = 390
SUMMARIES_CHANGED = [
    f"UPDATE blocks SET t_utc_ns = t_utc_ns + {HOUR_NS} WHERE first_sample_index = {BLOCK_AT}",
    f"UPDATE blocks SET t_mono_ns = t_mono_ns + 1 WHERE first_sample_index = {BLOCK_AT}",
    f"UPDATE blocks SET samples_per_channel = samples_per_channel - 1 WHERE first_sample_index = {BLOCK_AT}",
    f"UPDATE blocks SET samples_per_channel = samples_per_channel + 1 WHERE first_sample_index = {BLOCK_AT}",
    f"UPDATE blocks SET samples_per_channel = {2**62} WHERE first_sample_index = {BLOCK_AT}",
    f"UPDATE blocks SET block_index = 0 WHERE first_sample_index = {BLOCK_AT}",
    f"DELETE FROM blocks WHERE first_sample_index = {BLOCK_AT}",
    f"DELETE FROM block_stats WHERE first_sample_index = {BLOCK_AT} AND channel = 1",
    f"INSERT INTO block_stats VALUES (1, {BLOCK_AT + 1}, 0, 1, 0, 0, 0)",
    *(
        f"UPDATE block_stats SET {column} = {column} {change} WHERE first_sample_index = {BLOCK_AT} AND channel = 1"
        for column, change in (("min", "- 1"), ("max", "+ 1"), ("mean", "* 1.001"), ("n_values", "- 1"))
    ),
    f"UPDATE block_stats SET min = NULL WHERE first_sample_index = {BLOCK_AT} AND channel = 0",
]  # fmt: skip


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("statement", SUMMARIES_CHANGED)
def test_a_summary_that_is_not_that_of_its_block_is_named(tmp_path: Path, statement: str, layout: str) -> None:
    folder = record_run(tmp_path / "run", {"archive": SINKS["archive"], "table": {**SINKS["table"], "layout": layout}})
    report = reports(folder)["table"]
    assert report.has_summaries
    assert (report.problems, report.misstated) == ((), ())
    _sql(statement)(folder)
    report = reports(folder)["table"]
    assert report.misstated
    assert all(BLOCK_AT - STEP <= span.start <= BLOCK_AT + STEP for span in report.misstated)
    assert any("summaries in its table of blocks" in problem for problem in report.problems)
    assert report.differing == report.missing == ()


def test_a_table_of_blocks_that_is_not_there_is_named_and_the_samples_are_recounted(run: Path) -> None:
    with sqlite3.connect(run / "run.db") as connection:
        connection.execute("DROP TABLE blocks")
    connection.close()
    report = reports(run)["table"]
    assert report.samples == N_ROWS
    assert any("its table of blocks cannot be read" in problem for problem in report.problems)


@pytest.mark.parametrize("name", LONG_SINKS)
def test_the_long_layout_is_compared_too(tmp_path: Path, name: str) -> None:
    folder = record_run(tmp_path / "run", {"archive": SINKS["archive"], name: LONG_SINKS[name]})
    report = reports(folder)[name]
    assert report.problems == ()
    assert (report.compared_with, report.not_compared) == ("archive", None)
    assert report.rows == 2 * N_ROWS
    assert report.covered == (Span(0, OVERRUN.start), Span(OVERRUN.stop, N_SAMPLES))


@pytest.mark.parametrize(("name", "old", "new"), [("view", ",V,", ",mV,"), ("lines", '"unit":"V"', '"unit":"mV"')])
def test_the_words_of_a_long_row_are_looked_at(tmp_path: Path, name: str, old: str, new: str) -> None:
    folder = record_run(tmp_path / "run", {"archive": SINKS["archive"], name: LONG_SINKS[name]})
    path = folder / LONG_SINKS[name]["path"]
    path.write_text(path.read_text().replace(old, new, 1))
    report = reports(folder)[name]
    assert report.differing == ()
    assert any("words" in problem for problem in report.problems)


@pytest.mark.parametrize("column", ["device", "task", "unit", "error_type"])
@pytest.mark.parametrize("name", ["table", "columns"])
def test_the_words_of_a_long_row_are_looked_at_in_tables_too(tmp_path: Path, name: str, column: str) -> None:
    folder = record_run(tmp_path / "run", {"archive": SINKS["archive"], name: LONG_SINKS[name]})
    assert reports(folder)[name].problems == ()
    if name == "table":
        _sql(f"UPDATE samples_long SET {column} = 'other' WHERE rowid = {ROW}")(folder)
    else:
        rewrite_parquet(folder / "columns.parquet", lambda table: _row_replaced(table, column, lambda _: "other"))
    report = reports(folder)[name]
    assert report.differing == ()
    assert any(problem.startswith("words in its rows") for problem in report.problems)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("view", "t_utc,flux,tc1", "t_utc,tc1,flux"),
        ("lines", '"flux":', '"flow":'),
        ("sheet", "flux [V]", "flow [V]"),
        ("sheet", "tc1 [V]", "tc1 [mV]"),
    ],
)
def test_a_column_that_was_named_like_another_is_named(run: Path, name: str, old: str, new: str) -> None:
    path = run / SINKS[name]["path"]
    path.write_text(path.read_text().replace(old, new, 1))
    problems = reports(run)[name].problems
    assert problems == ("words in 1 of its lines are not those of the run's channels, first in line 1",)
    _whole(run, name)


@pytest.mark.parametrize("change", ["unit = 'mV'", "scale = scale * 2", "name = 'flow'"])
def test_a_description_of_a_channel_that_was_changed_is_named(tmp_path: Path, change: str) -> None:
    sinks = {"archive": SINKS["archive"], "table": LONG_SINKS["table"]}
    folder = record_run(tmp_path / "run", sinks)
    assert reports(folder)["table"].problems == ()
    _sql(f"UPDATE channels SET {change} WHERE channel = 0")(folder)
    assert reports(folder)["table"].problems


def test_a_scale_that_was_changed_in_the_archive_is_named_as_its_own(run: Path) -> None:
    archive = run / "archive.dt-raw"
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b'"offset": 0.25', b'"offset": 0.35', 1))
    assert "unit or scale are not those of the run record: flux" in reports(run)["archive"].problems
    _whole(run, "archive")


@pytest.mark.parametrize("name", ["view", "sheet", "table", "columns"])
def test_an_output_of_some_channels_is_compared(tmp_path: Path, name: str) -> None:
    some = {**SINKS[name], "channels": ["tc1"]}
    folder = record_run(tmp_path / "run", {"archive": SINKS["archive"], name: some})
    report = reports(folder)[name]
    assert (report.problems, report.compared_with, report.not_compared) == ((), "archive", None)
    VALUE_CHANGED[name](folder)
    assert reports(folder)[name].differing == (Span(SAMPLE, SAMPLE + 1),)


@pytest.mark.parametrize("kind", ["no header", "zeros", "not there", "cut"])
def test_a_damaged_archive_is_its_own_fault_alone(run: Path, kind: str) -> None:
    archive = run / "archive.dt-raw"
    data = archive.read_bytes()
    if kind == "no header":
        archive.write_bytes(b"\0" * 200 + data[200:])
    elif kind == "zeros":
        archive.write_bytes(data[: len(data) // 2] + b"\0" * 300 + data[len(data) // 2 + 300 :])
    elif kind == "cut":
        archive.write_bytes(data[: len(data) // 2])
    else:
        archive.unlink()
    _whole(run, "archive")
    found = reports(run)
    assert found["archive"].problems
    for name in ("view", "sheet", "lines", "table", "columns"):
        assert found[name].rows == N_ROWS
        not_compared = found[name].not_compared
        assert not_compared is None or "archive" in not_compared
        assert "archive" not in " ".join(found[name].problems)
    # What the archive has not got is held against others.
    VALUE_CHANGED["table"](run)
    assert reports(run)["table"].differing == (Span(SAMPLE, SAMPLE + 1),)
    _whole(run, "archive", "table")


def test_samples_that_only_a_damaged_archive_has_besides_are_not_compared(tmp_path: Path) -> None:
    folder = record_run(tmp_path / "run", {"archive": SINKS["archive"], "table": SINKS["table"]})
    (folder / "archive.dt-raw").write_bytes(b"")
    report = reports(folder)["table"]
    assert report.problems == ()
    assert report.compared_with is None
    assert report.not_compared is not None
    assert "archive cannot be read" in report.not_compared


def test_an_archive_that_all_others_contradict_is_the_one_that_is_wrong(tmp_path: Path) -> None:
    stream = stream_of()
    items = items_of(stream)
    folder = record_run(tmp_path / "run")
    late = Anchor(0, ANCHOR.t_mono_ns, ANCHOR.t_utc_ns + HOUR_NS)
    moved = [
        replace(item, anchor=late) if isinstance(item, Block) and item.first_sample_index == BLOCK_AT else item
        for item in items
    ]
    other = record_run(tmp_path / "other", {"archive": SINKS["archive"]}, moved)
    (folder / "archive.dt-raw").write_bytes((other / "archive.dt-raw").read_bytes())
    found = reports(folder)
    _whole(folder, "archive")
    assert found["archive"].mistimed == (Span(BLOCK_AT, BLOCK_AT + STEP),)
    assert any("times" in problem and f"[{BLOCK_AT}, " in problem for problem in found["archive"].problems)


@pytest.mark.parametrize("where", ["gaps.jsonl", "run.db"])
def test_a_gap_whose_cause_was_changed_is_named(run: Path, where: str) -> None:
    if where == "run.db":
        _sql("UPDATE gaps SET cause = 'write_error'")(run)
    else:
        _lines_changed(
            run / where,
            lambda lines: [line.replace("board_overrun", "write_error") if "table" in line else line for line in lines],
            0,
        )
    report = reports(run)["table"]
    assert report.misnamed == (OVERRUN,)
    assert any("gaps.jsonl says" in problem for problem in report.problems)
    _whole(run, "table")
    assert verified(run).verdict.state is VerdictState.DEGRADED


def test_a_gap_that_gaps_jsonl_lacks_or_invents_is_named(run: Path) -> None:
    path = run / "gaps.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"table"' not in line))
    assert any("is not in gaps.jsonl" in problem for problem in reports(run)["table"].problems)
    path.write_text("".join([*lines, next(line for line in lines if '"table"' in line).replace("300", "200")]))
    assert any("which is there" in problem for problem in reports(run)["table"].problems)
    path.write_text("".join(line.replace("300", "200") if '"sink": null' in line else line for line in lines))
    assert any("the board lost [200, 300), which view has" in text for text in verified(run).inconsistent)
    assert verified(run).verdict.state is VerdictState.DEGRADED


def test_torn_lines_of_the_runs_own_files_are_named_and_blame_no_output(run: Path) -> None:
    (run / "events.jsonl").write_text('{"t_utc": "2026-11-23T09:00:00Z", "event": "running"}\n{"t_utc": "2026-')
    (run / "clock.jsonl").write_bytes(b"\0" * 40 + b"\n")
    with (run / "gaps.jsonl").open("ab") as gaps:
        gaps.write(b'{"sink": "tab\xff')
    report = verified(run)
    assert list(report.damaged_files) == [
        "gaps.jsonl is damaged in line 9", "events.jsonl is damaged in line 2", "clock.jsonl is damaged in line 1"
    ]  # fmt: skip
    assert report.verdict.state is VerdictState.INCOMPLETE
    _whole(run)
    # Nor does one in which a gap of theirs stood.
    data = (run / "gaps.jsonl").read_bytes()
    (run / "gaps.jsonl").write_bytes(data.replace(b'"start": 300', b'"start": \0\0\0'))
    _whole(run)
    assert "gaps.jsonl is damaged in lines 1, 2, 3, 4, 5 and 4 more" in verified(run).damaged_files


@pytest.mark.parametrize("key", ["samples", "gaps", "dropped", "stop"])
def test_counts_of_the_record_that_cannot_be_are_named(run: Path, key: str) -> None:
    def change(record: dict[str, Any]) -> None:
        record["sinks"]["view"][key] += 1

    edit_record(run, change)
    report = verified(run)
    assert report.verdict.state is VerdictState.DEGRADED
    assert "view" in report.verdict.text


def test_whole_rows_behind_the_last_commit_are_no_contradiction(run: Path) -> None:
    """Of a sink that was killed and gave up: its tail is a gap by the record, and some of it stands in the file."""
    commit = N_SAMPLES - 100

    def gave_up(record: dict[str, Any]) -> None:
        sink = record["sinks"]["view"]
        sink.update(committed=commit, samples=sink["samples"] - 100, gaps=sink["gaps"] + 100, failure="it gave up")

    edit_record(run, gave_up)
    t_utc_ns = ANCHOR.t_utc_ns + stream_of().clock.offset_ns(commit)
    with (run / "gaps.jsonl").open("a") as gaps:
        gaps.write(json_line(gap_line("view", Gap(Span(commit, N_SAMPLES), Cause.WORKER_FAILED, t_utc_ns))) + "\n")
    report = reports(run)["view"]
    assert (report.problems, report.misnamed) == ((), ())
    assert verified(run).verdict.state is VerdictState.DEGRADED


def test_whole_rows_behind_a_hole_behind_the_last_commit_are_counted(run: Path, tmp_path: Path) -> None:
    """The raw file has no such rows either, so that the two are alike up to the last commit."""
    commit = OVERRUN.start
    items = [item for item in items_of(stream_of()) if item.span.stop <= commit]
    cut = record_run(tmp_path / "cut", {"archive": SINKS["archive"]}, items)
    path = cut / "view.csv"
    writer = CsvWriter(OutputOptions(path))
    writer.open(stream_of(), 0, resume=False)
    writer.append(items)
    writer.commit()
    writer.abandon()
    lines = (run / "view.csv").read_bytes().splitlines(keepends=True)[-100:]
    with path.open("ab") as file:
        file.write(bytes(512) + b"".join(lines) + lines[0][:9])

    def killed(record: dict[str, Any]) -> None:
        record["sinks"]["view"] = {**record["sinks"]["archive"], "type": "csv", "path": "view.csv"}
        record["topology"]["sinks"]["view"] = SINKS["view"]

    edit_record(cut, killed)
    # The first of those lines stands behind zeros.
    assert reports(cut)["view"].covered == (Span(0, commit), Span(N_SAMPLES - 99, N_SAMPLES))


class NoReader:
    """A plug-in's writer, whose output nobody reads back."""


class Reader:
    """A plug-in's reader: rows that it was given, and nothing more than it must have."""

    rows: Sequence[OutputRows] = ()
    error: Exception | None = None

    def __init__(self, path: Path, run_id: str | None = None, **_: Any) -> None:
        del path, run_id

    def position(self) -> Position:
        return Position(0, N_SAMPLES, N_SAMPLES, N_ROWS, len(OVERRUN), 0)

    def gaps(self) -> Sequence[Gap]:
        return [item for item in items_of(stream_of()) if isinstance(item, Gap)]

    def batches(self) -> Iterator[OutputRows]:
        yield from self.rows
        if self.error is not None:
            raise self.error


class WithReader(NoReader):
    Reader = Reader


@pytest.fixture
def plugged(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run with one more output, a plug-in's, which holds the same samples."""
    from dtopipe.verify.raw_blocks import rows_of

    def add(record: dict[str, Any]) -> None:
        record["sinks"]["other"] = {**record["sinks"]["view"], "type": "plug", "path": "other.bin"}
        record["topology"]["sinks"]["other"] = {"type": "plug", "path": "other.bin"}

    edit_record(run, add)
    lines = (run / "gaps.jsonl").read_text().splitlines(keepends=True)
    own = next(line for line in lines if "view" in line).replace("view", "other")
    (run / "gaps.jsonl").write_text("".join([*lines, own]))
    stream = stream_of()
    rows = [rows_of(item, stream) for item in items_of(stream) if isinstance(item, Block)]
    monkeypatch.setattr(Reader, "rows", rows)
    monkeypatch.setattr(Reader, "error", None)
    monkeypatch.setitem(OURS, "plug", f"{__name__}:WithReader")
    return run


def test_a_plug_ins_output_is_recounted_and_compared_like_ours(plugged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = reports(plugged)["other"]
    assert (report.problems, report.compared_with, report.not_compared) == ((), "archive", None)
    assert report.rows == N_ROWS
    spoilt = list(Reader.rows)
    wrong = [values.copy() for values in spoilt[2].values]
    wrong[1][7] += 1
    spoilt[2] = OutputRows(spoilt[2].sample_index, spoilt[2].t_mono_ns, spoilt[2].t_utc_ns, wrong)
    monkeypatch.setattr(Reader, "rows", spoilt)
    assert reports(plugged)["other"].differing == (Span(2 * STEP + 7, 2 * STEP + 8),)


def test_a_plug_ins_reader_that_fails_spoils_its_own_output_only(
    plugged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader, "error", ZeroDivisionError("by zero"))
    report = reports(plugged)["other"]
    assert report.unreadable
    assert report.problems == ("cannot be read: ZeroDivisionError: by zero",)
    _whole(plugged, "other")
    (plugged / "archive.dt-raw").unlink()
    _whole(plugged, "other", "archive")


def test_an_output_without_a_reader_is_named_and_never_good(plugged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OURS, "plug", f"{__name__}:NoReader")
    report = reports(plugged)["other"]
    assert report.unreadable
    assert report.problems == ("not looked at: its plug-in has no Reader",)
    assert verified(plugged).verdict.state is VerdictState.DEGRADED
    _whole(plugged, "other")


def test_an_output_without_a_row_is_no_fault_of_it(tmp_path: Path) -> None:
    """Whatever was to be in it was lost by the board."""
    folder = record_run(tmp_path / "run", items=[Gap(Span(0, 100), Cause.BOARD_OVERRUN, ANCHOR.t_utc_ns)])
    assert {name: report.problems for name, report in reports(folder).items()} == dict.fromkeys(SINKS, ())
    assert verified(folder).verdict.state is VerdictState.INCOMPLETE


def test_a_sink_of_which_nothing_says_where_it_went_is_never_good(tmp_path: Path) -> None:
    stream = stream_of()
    blocks = [item for item in items_of(stream, 200) if isinstance(item, Block)]
    folder = record_run(tmp_path / "run", {"view": SINKS["view"]}, blocks)
    assert verified(folder).verdict.state is VerdictState.GOOD

    def add(record: dict[str, Any]) -> None:
        record["sinks"]["mail"] = {**record["sinks"]["view"], "type": "mail", "path": None}

    edit_record(folder, add)
    report = verified(folder)
    assert report.not_looked_at == ("mail was not looked at: nothing says where it went",)
    assert report.verdict.state is VerdictState.DEGRADED


def test_a_new_epoch_of_the_acquirer_is_no_moved_time(tmp_path: Path) -> None:
    stream = stream_of()
    later = Anchor(400, ANCHOR.t_mono_ns + stream.clock.offset_ns(400) + 77_000_001, ANCHOR.t_utc_ns + 5 * HOUR_NS)
    items = [item for item in items_of(stream) if isinstance(item, Block) and item.first_sample_index < 300]
    codes = np.zeros((2, STEP), np.int16)
    items += [Block(20 + n, 300 + n * STEP, codes, ANCHOR if n < 2 else later) for n in range(10)]
    for name in ("view", "table"):
        folder = record_run(tmp_path / name, {name: SINKS[name]}, items)
        assert reports(folder)[name].problems == ()


def test_progress_is_told_with_what_is_to_be_expected(run: Path) -> None:
    from dtopipe.host.run_folder import RunFolder
    from dtopipe.verify.verify import verify_run

    told: dict[str, list[tuple[int, int]]] = {}
    folder = RunFolder(run)
    verify_run(folder, folder.read_record(), lambda name, rows, of: told.setdefault(name, []).append((rows, of)))
    assert {name: calls[-1] for name, calls in told.items()} == dict.fromkeys(SINKS, (N_ROWS, N_ROWS))


POLLED = {name: sink for name, sink in SINKS.items() if name != "archive"}


def _polled_run(folder: Path, sinks: dict[str, Any]) -> Path:
    stream = stream_of(dtype="float64", polled=True)
    return record_run(folder, sinks, [readings(stream, at, at + 10) for at in range(0, 60, 10)], stream)


def test_readings_are_compared_with_two_other_outputs(tmp_path: Path) -> None:
    found = reports(_polled_run(tmp_path / "run", POLLED))
    assert {name: (report.problems, report.not_compared) for name, report in found.items()} == dict.fromkeys(
        POLLED, ((), None)
    )
    assert found["view"].compared_with == "lines or table"


@pytest.mark.parametrize(
    "change", ["t_utc_ns = t_utc_ns + 1", "tc1 = 0.25", "flux_unit = 'mV'", "latency_s = 9.5", "error_type = 'gone'"]
)
def test_a_column_of_a_reading_that_was_changed_is_named(tmp_path: Path, change: str) -> None:
    folder = _polled_run(tmp_path / "run", POLLED)
    _sql(f"UPDATE readings SET {change} WHERE sample_index = 31")(folder)
    report = reports(folder)["table"]
    assert report.differing == (Span(31, 32),)
    assert any("differ from view and lines: [31, 32)" in problem for problem in report.problems)
    _whole(folder, "table")


def test_what_is_infinite_is_null_in_json_lines_and_no_difference(tmp_path: Path) -> None:
    stream = stream_of(dtype="float64")
    values = np.array([[1.0, np.inf, np.nan, -np.inf], [1.0, 2.0, 3.0, 4.0]])
    folder = record_run(tmp_path / "run", SINKS, [Block(0, 0, values, ANCHOR)], stream)
    _whole(folder)


def test_what_is_infinite_is_an_empty_cell_of_a_view_too_and_no_difference(tmp_path: Path) -> None:
    stream = stream_of(dtype="float64")
    values = np.array([[1.0, np.nan, np.nan, -np.inf], [1.0, 2.0, 3.0, 4.0]])
    sinks = {"archive": SINKS["archive"], "sheet": {**SINKS["sheet"], "every": "1ms", "reduce": "first"}}
    folder = record_run(tmp_path / "run", sinks, [Block(0, 0, values, ANCHOR)], stream)
    _whole(folder)
