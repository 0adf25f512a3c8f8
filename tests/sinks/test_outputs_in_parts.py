"""Outputs in parts: the promises of every sink, and parts that are the same whatever happened."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parted_writers import IN_PARTS

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import OutputAway, SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.reduction import Reduction
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.splitting import Split, held_to, layout_of, samples_a_part
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions, OutputReader, SinkWriter
from dtopipe.sinks.file.commit_record import record_path
from dtopipe.sinks.file.reopening import ReopeningWriter
from dtopipe.sinks.parts.names import part_number, part_path, parts_there, with_place
from dtopipe.sinks.parts.reader import parted_reader
from dtopipe.sinks.parts.writer import parted
from dtopipe.sinks.registry import OURS, load_reader, load_writer, sink_type
from dtopipe.testing import SinkUnderTest
from dtopipe.testing.sink_deaths import SinkDeaths

_SPLITTING = [name for name in OURS if sink_type(name).splits]
_ANCHOR = Anchor(0, 10, 1_000_000_000)


def _writer(name: str, samples: int, output: OutputOptions) -> SinkWriter:
    return parted(load_writer(name), output, lambda stream: samples)


def _reader(name: str, path: Path, run_id: str | None = None, **options: Any) -> OutputReader:
    return parted_reader(partial(load_reader(name), run_id=run_id), path, run_id)


class TestOutputsInParts(SinkDeaths):
    """Killed at random moments they go on in the right part."""

    most_deaths = 10

    # Of a file that stands at the output's own path.
    test_what_a_kill_left_of_half_a_commit_is_cut_off_wherever_it_is_torn = None  # type: ignore[assignment]

    def kinds(self) -> Mapping[str, SinkUnderTest]:
        return {
            name: SinkUnderTest(writer, partial(_reader, name), Path("out-{part}")) for name, writer in IN_PARTS.items()
        }


def _stream() -> Stream:
    return Stream("run-1", "task", "board", (Channel("a", kind="raw"),), "int16", 1e3, 100, "2026-11-22T23:41:00Z")


def _block(start: int, stop: int) -> Block:
    return Block(start // 100, start, (np.arange(start, stop) % 30_000).astype(np.int16)[None], _ANCHOR)


def _gap(start: int, stop: int) -> Gap:
    return Gap(Span(start, stop), Cause.BOARD_OVERRUN, 1)


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix != ".dtopipe"}


_ITEMS: list[Block | Gap] = [
    _block(0, 150),
    _block(150, 330),
    _gap(330, 420),
    _block(420, 560),
    _gap(560, 980),
    _block(980, 1010),
]


def _written(name: str, folder: Path, items: Sequence[Block | Gap], samples: int = 200) -> Position:
    writer = _writer(name, samples, OutputOptions(folder / "out-{part}"))
    writer.open(_stream(), 0, resume=False)
    for item in items:
        writer.append([item])
    return writer.close()


@pytest.mark.parametrize("name", _SPLITTING)
def test_parts_begin_at_multiples_of_their_length(name: str, tmp_path: Path) -> None:
    position = _written(name, tmp_path, _ITEMS)
    assert position == Position(0, 1010, 1010, 500, 510)
    parts = parts_there(tmp_path / "out-{part}")
    spans = {}
    for number, file in parts.items():
        one = load_reader(name)(file, run_id="run-1").position()
        spans[number] = Span(one.start, one.committed)
    wanted = {1: Span(0, 200), 2: Span(200, 420), 3: Span(420, 980), 5: Span(980, 1000), 6: Span(1000, 1010)}
    assert spans == wanted
    assert spans == dict(layout_of(Span(0, 1010), 200, [Span(330, 420), Span(560, 980)]))
    reader = _reader(name, tmp_path / "out-{part}", "run-1")
    assert reader.position() == position
    assert [gap.span for gap in reader.gaps()] == [Span(330, 420), Span(560, 980)]
    index = np.concatenate([rows.sample_index for rows in reader.batches()])
    assert index.tolist() == [*range(330), *range(420, 560), *range(980, 1010)]


@pytest.mark.parametrize("name", _SPLITTING)
def test_parts_are_the_same_however_blocks_come(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pieces = [piece for item in _ITEMS for piece in ([item] if isinstance(item, Gap) else _cut(item))]
    _written(name, tmp_path / "a", _ITEMS)
    _written(name, tmp_path / "b", pieces)
    assert _files(tmp_path / "a") == _files(tmp_path / "b")


def _cut(block: Block) -> list[Block]:
    return [block.trimmed(at, at + 40) for at in range(block.span.start, block.span.stop, 40)]


@given(
    st.integers(0, 50), st.lists(st.tuples(st.booleans(), st.integers(1, 90)), min_size=1, max_size=8),
    st.integers(1, 60),
)  # fmt: skip
def test_the_layout_follows_from_the_gaps(start: int, pieces: list[tuple[bool, int]], samples: int) -> None:
    at, absent = start, []
    for is_there, length in pieces:
        if not is_there:
            absent.append(Span(at, at + length))
        at += length
    parts = list(layout_of(Span(start, at), samples, absent))
    assert [parts[0][1].start, parts[-1][1].stop] == [start, at]
    assert all(one[1].stop == other[1].start for one, other in itertools.pairwise(parts))
    assert [number for number, _ in parts] == sorted({number for number, _ in parts})
    lost = {index for span in absent for index in range(span.start, span.stop)}
    for number, span in parts:
        assert {index // samples + 1 for index in range(span.start, span.stop) if index not in lost} <= {number}


def test_bounds_in_a_gap_are_those_that_parts_say_themselves() -> None:
    absent = [Span(180, 230), Span(400, 650)]
    parts = list(layout_of(Span(0, 900), 200, absent))
    assert parts == [(1, Span(0, 230)), (2, Span(230, 650)), (4, Span(650, 800)), (5, Span(800, 900))]
    assert held_to(parts, dict(parts), absent) == parts
    # Made by a repair that did not know of the gaps yet.
    there = {2: Span(200, 400), 3: Span(400, 600), 4: Span(600, 800)}
    wanted = [(1, Span(0, 200)), (2, Span(200, 400)), (3, Span(400, 600)), (4, Span(600, 800)), (5, Span(800, 900))]
    assert held_to(parts, there, absent) == wanted
    # What has samples that belong to another part is not believed.
    assert held_to(parts, {2: Span(150, 400), 5: Span(700, 900), 9: Span(0, 10**6)}, absent) == parts


def test_a_part_that_could_not_be_begun_loses_nothing(tmp_path: Path) -> None:
    """The second part's place is taken for a while: what was appended before is committed, the rest comes later."""
    writer = ReopeningWriter(
        lambda: _writer("csv", 200, OutputOptions(tmp_path / "out-{part}")), tmp_path / "out-{part}"
    )
    writer.open(_stream(), 0, resume=False)
    obstacle = tmp_path / "out-0002"
    obstacle.mkdir()
    with pytest.raises(SinkError):
        writer.append([_block(0, 350)])
    obstacle.rmdir()
    writer._is_to_be_opened = True
    writer._items = [_block(0, 350)]
    writer.append([_block(350, 450)])
    assert writer.close() == Position(0, 450, 450, 450)
    reader = _reader("csv", tmp_path / "out-{part}", "run-1")
    assert sum(len(rows.sample_index) for rows in reader.batches()) == 450


@pytest.mark.parametrize("name", ["csv", "parquet"])
@pytest.mark.parametrize("left", [b"", bytes(600)], ids=["empty", "zeros"])
def test_a_part_that_was_killed_over_its_beginning_is_begun_again(name: str, left: bytes, tmp_path: Path) -> None:
    stream, path = _stream(), tmp_path / "out-{part}"
    writer = ReopeningWriter(lambda: _writer(name, 100, OutputOptions(path)), path)
    writer.open(stream, 0, resume=False)
    writer.append([_block(0, 100)])
    writer.commit()
    writer.abandon()
    # A file of lines is made before its record, of which the magic comes last.
    if name == "csv":
        part_path(path, 2).touch()
    record_path(part_path(path, 2)).write_bytes(left)
    writer = ReopeningWriter(lambda: _writer(name, 100, OutputOptions(path)), path)
    assert writer.open(stream, 0, resume=True, committed=100).committed == 100
    writer.append([_block(100, 250)])
    assert writer.close().samples == 250
    index = np.concatenate([rows.sample_index for rows in _reader(name, path, stream.run_id).batches()])
    assert np.array_equal(index, np.arange(250))


def test_a_lost_part_is_noticed_by_its_writer(tmp_path: Path) -> None:
    writer = ReopeningWriter(
        lambda: _writer("csv", 200, OutputOptions(tmp_path / "out-{part}")), tmp_path / "out-{part}"
    )
    writer.open(_stream(), 0, resume=False)
    writer.append([_block(0, 250)])
    writer.commit()
    (tmp_path / "out-0002").unlink()
    writer.append([_block(250, 260)])
    with pytest.raises(SinkError, match="was deleted") as told:
        writer.commit()
    assert not isinstance(told.value, OutputAway)
    writer.abandon()


def test_marks_are_in_the_part_of_their_sample(tmp_path: Path) -> None:
    writer: Any = _writer("parquet", 200, OutputOptions(tmp_path / "out-{part}"))
    writer.open(_stream(), 0, resume=False)
    writer.note([Mark(1, "first", 50, 60, 1), Mark(2, "later", 390, 400, 1), Mark(3, "beyond", 900, 910, 1)], None)
    writer.append([_block(0, 450)])
    writer.close()
    marks = {}
    for number, file in parts_there(tmp_path / "out-{part}").items():
        marks[number] = [mark.label for mark in load_reader("parquet")(file, run_id="run-1").marks()]  # type: ignore[attr-defined]
    assert marks == {1: ["first"], 2: ["later"], 3: ["beyond"]}


def test_a_view_has_whole_rows_in_each_part(tmp_path: Path) -> None:
    view = Reduction(_stream(), 70, "first")
    writer = _writer("csv", 210, OutputOptions(tmp_path / "out-{part}"))
    writer.open(view.stream, 0, resume=False)
    items = [*view.of([_block(0, 500), _gap(500, 520), _block(520, 700)]), *view.rest()]
    writer.append(items)
    assert writer.close() == Position(0, 700, 700, 680, 20)
    rows = {
        number: [int(line.split(",")[0]) for line in file.read_text().splitlines()[1:]]
        for number, file in parts_there(tmp_path / "out-{part}").items()
    }
    assert rows == {1: [0, 70, 140], 2: [210, 280, 350], 3: [420, 490, 520, 560], 4: [630]}


def test_a_size_is_never_passed(tmp_path: Path) -> None:
    """Numbers are as long as they can be."""
    channels = tuple(Channel(f"longer{number}", "V", scale=20 / 65536, offset=0.0) for number in range(4))
    stream = Stream("run-1", "task", "board", channels, "int16", 1000.0, 100, "2026-11-22T23:41:00Z")
    for name in _SPLITTING:
        samples = samples_a_part(Split.of("2MB"), stream, sink_type(name), Layout.WIDE)
        folder = tmp_path / name
        folder.mkdir()
        writer = _writer(name, samples, OutputOptions(folder / "out-{part}"))
        writer.open(stream, 0, resume=False)
        rng = np.random.default_rng(1)
        codes = rng.integers(-32768, 32767, (4, 3 * samples), dtype=np.int16)
        writer.append([Block(0, 0, codes, _ANCHOR)])
        writer.close()
        sizes = [file.stat().st_size for file in parts_there(folder / "out-{part}").values()]
        assert len(sizes) == 3
        assert max(sizes) < 2_100_000


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("live-{part}.csv", "live-{part}.csv"), ("live.csv", "live-{part}.csv"), ("a.b/live", "a.b/live-{part}"),
     ("/x/.hidden", "/x/.hidden-{part}")],
)  # fmt: skip
def test_a_path_gets_a_place_for_the_number(path: str, wanted: str) -> None:
    assert with_place(path) == wanted


def test_names_of_parts(tmp_path: Path) -> None:
    assert part_path(tmp_path / "a{part}.csv", 12).name == "a0012.csv"
    assert part_number("a{part}.csv", "a0012.csv.dtopipe") == 12
    assert part_number("a{part}.csv", "a12.csv") is None
    assert part_number("a{part}.csv", "a0012.repair.csv") is None


@pytest.mark.parametrize("text", ["0s", "1", "big", "0GiB", ""])
def test_a_split_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="such as 1h or 1GiB"):
        Split.of(text)
