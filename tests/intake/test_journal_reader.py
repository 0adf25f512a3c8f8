"""The journal is read along while it is written, in segments and across restarts, never past its last commit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from recordings import ANCHOR, blocks, codes_of, gap, recorded

from dtopipe.errors import OutputExists, SinkError
from dtopipe.intake.journal import JournalReader
from dtopipe.model.policy import OnExists
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.hbuf.reader import HbufReader
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.tools.replay_raw import iter_blocks
from dtopipe.wire.commit_snapshot import record_path
from dtopipe.wire.raw_files import index_path, segment_path, segments_of

STREAM = recorded()
Opened = Callable[[], JournalReader]


@pytest.fixture(params=[None, 3000], ids=["one file", "segments"])
def segment(request: pytest.FixtureRequest) -> int | None:
    chosen: int | None = request.param
    return chosen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.dt-raw"


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    """New readers of the journal."""
    readers: list[JournalReader] = []

    def reader() -> JournalReader:
        readers.append(JournalReader(path))
        return readers[-1]

    yield reader
    for each in readers:
        each.close()


def journal(path: Path, segment: int | None, resume: bool = False) -> HbufWriter:
    writer = HbufWriter(OutputOptions(path), segment=segment, journal=True)
    writer.open(STREAM, 0, resume=resume)
    return writer


def write(writer: HbufWriter, start: int, stop: int) -> None:
    """A commit every five blocks of 100 samples."""
    for at in range(start, stop, 500):
        writer.append(blocks(STREAM, at, min(at + 500, stop)))
        writer.commit()


def numbers(found: list[Block]) -> list[int]:
    for block in found:
        start = block.first_sample_index
        assert block.block_index == start // 100
        np.testing.assert_array_equal(block.codes, codes_of(2, start, start + 100))
        assert block.anchor == ANCHOR
    return [block.block_index for block in found]


def test_blocks_come_from_any_number_on_up_to_the_last_commit(path: Path, opened: Opened, segment: int | None) -> None:
    writer = journal(path, segment)
    reader = opened()
    assert reader.take(0, 10) == []
    write(writer, 0, 3000)
    assert (len(segments_of(path)) > 1) == (segment is not None)
    writer.append(blocks(STREAM, 3000, 3200))
    assert numbers(reader.take(0, 1000)) == list(range(30))
    assert reader.take(30, 10) == []
    writer.commit()
    assert numbers(reader.take(30, 1)) == [30]
    assert numbers(reader.take(31, 10)) == [31]
    for first in (0, 7, 12, 29):
        assert numbers(opened().take(first, 5)) == list(range(first, min(first + 5, 32)))
    reader.close()
    writer.close()
    assert numbers(opened().take(3, 1000)) == list(range(3, 32))


def test_a_killed_journal_goes_on_where_its_reader_is(path: Path, opened: Opened, segment: int | None) -> None:
    writer = journal(path, segment)
    write(writer, 0, 2000)
    reader = opened()
    assert numbers(reader.take(0, 1000)) == list(range(20))
    writer.append(blocks(STREAM, 2000, 2500))
    # As a kill does: what was appended and not committed is still in the file.
    writer.abandon()
    assert reader.take(20, 10) == []
    writer = journal(path, segment, resume=True)
    write(writer, 2000, 4000)
    assert numbers(reader.take(20, 1000)) == list(range(20, 40))
    writer.close()
    assert [rows.sample_index.tolist() for rows in HbufReader(path).batches()] == [list(range(4000))]


def test_a_segment_that_no_commit_names_is_nobodys(path: Path) -> None:
    writer = journal(path, 3000)
    write(writer, 0, 2000)
    last = segments_of(path)[-1]
    writer.abandon()
    segment_path(path, last + 1).write_bytes(b"begun by a process that was killed")
    writer = journal(path, 3000, resume=True)
    write(writer, 2000, 2500)
    writer.close()
    assert sum(len(rows.sample_index) for rows in HbufReader(path).batches()) == 2500
    assert all(index == 100 * n for n, index in enumerate(_first_samples(path)))


def _first_samples(path: Path) -> list[int]:
    files = [segment_path(path, number) for number in segments_of(path)]
    return [block.first_sample_index for file in files for block in iter_blocks(file)]


def test_each_segment_is_complete_in_itself(path: Path) -> None:
    writer = journal(path, 3000)
    write(writer, 0, 3000)
    writer.close()
    for number in segments_of(path):
        for block in iter_blocks(segment_path(path, number)):
            first = block.first_sample_index
            np.testing.assert_array_equal(block.raw_codes, codes_of(2, first, first + 100))


@pytest.mark.parametrize("index", ["absent", "cut", "wrong"])
def test_the_index_is_only_a_cache(path: Path, opened: Opened, segment: int | None, index: str) -> None:
    writer = journal(path, segment)
    write(writer, 0, 3000)
    writer.close()
    beside = index_path(path)
    if index == "absent":
        beside.unlink()
    elif index == "cut":
        beside.write_bytes(beside.read_bytes()[:-5])
    else:
        beside.write_bytes(np.arange(300, dtype="<i8").tobytes())
    assert numbers(opened().take(17, 100)) == list(range(17, 30))


def test_a_damaged_chunk_is_passed_over_and_counted(path: Path, opened: Opened, segment: int | None) -> None:
    writer = journal(path, segment)
    write(writer, 0, 3000)
    writer.close()
    first = segment_path(path, segments_of(path)[0])
    data = bytearray(first.read_bytes())
    at = data.index(codes_of(2, 300, 400).tobytes())
    data[at] ^= 0xFF
    first.write_bytes(data)
    reader = opened()
    found = numbers(reader.take(0, 1000))
    assert reader.damaged == 1
    # What lies behind it, up to where the index begins again, cannot be found.
    assert found == [0, 1, 2, *range(5, 30)]


def test_a_segment_whose_header_is_damaged_is_passed_over_as_a_damaged_chunk_is(path: Path, opened: Opened) -> None:
    writer = journal(path, 3000)
    write(writer, 0, 3000)
    reader = opened()
    start = numbers(reader.take(0, 1))
    second = segment_path(path, segments_of(path)[1])
    lost_with = [block.first_sample_index // 100 for block in iter_blocks(second)]
    data = bytearray(second.read_bytes())
    data[4] ^= 0xFF
    second.write_bytes(data)
    index_path(path).unlink()
    found = start + numbers(reader.take(1, 1000))
    assert lost_with
    assert found == [number for number in range(30) if number not in lost_with]
    assert reader.damaged == 1
    writer.abandon()


def test_only_a_file_that_was_taken_out_of_its_folder_is_deleted(path: Path, opened: Opened) -> None:
    writer = journal(path, None)
    write(writer, 0, 1000)
    reader = opened()
    assert len(reader.take(0, 3)) == 3
    (path.parent / "other.csv").touch()
    record_path(path).unlink()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        reader.take(10, 1)
    assert reader.is_deleted()
    for file in path.parent.iterdir():
        file.unlink()
    assert not reader.is_deleted(), "an empty folder is one on which nothing is mounted"
    writer.abandon()


def test_gaps_are_handed_on_beside_the_blocks(path: Path, opened: Opened, segment: int | None) -> None:
    writer = journal(path, segment)
    writer.append([*blocks(STREAM, 0, 300), gap(STREAM, 300, 500), *blocks(STREAM, 500, 600)])
    writer.commit()
    reader = opened()
    assert numbers(reader.take(0, 10)) == [0, 1, 2, 5]
    assert [(each.span.start, each.span.stop) for each in reader.gaps] == [(300, 500)]
    writer.close()


def test_segments_that_are_there_are_not_touched_unless_it_is_asked_for(path: Path) -> None:
    writer = journal(path, 3000)
    write(writer, 0, 3000)
    writer.close()
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(OutputExists):
        journal(path, 3000)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    with pytest.raises(SinkError):
        HbufWriter(OutputOptions(path, on_exists=OnExists.APPEND), segment=3000).open(STREAM, 0, resume=False)
    moving = HbufWriter(OutputOptions(path, on_exists=OnExists.RENAME), segment=3000, journal=True)
    moving.open(STREAM, 0, resume=False)
    write(moving, 0, 500)
    moving.close()
    aside = path.with_name("archive.1.dt-raw")
    assert sum(len(rows.sample_index) for rows in HbufReader(aside).batches()) == 3000
    assert sum(len(rows.sample_index) for rows in HbufReader(path).batches()) == 500


def test_a_journal_that_is_away_is_said_and_read_on_when_it_is_back(
    path: Path, opened: Opened, segment: int | None, tmp_path: Path
) -> None:
    folder, aside = tmp_path / "share", tmp_path / "aside"
    path = folder / path.name
    writer = journal(path, segment)
    write(writer, 0, 3000)
    early, late = JournalReader(path), JournalReader(path)
    assert numbers(early.take(0, 10)) == list(range(10))
    folder.rename(aside)
    for number, reader in ((15, early), (0, late)):
        with pytest.raises(FileNotFoundError):
            reader.take(number, 10)
    # Back as a copy: what was open is another file.
    shutil.copytree(aside, folder)
    assert numbers(early.take(15, 1000)) == list(range(15, 30))
    assert numbers(late.take(0, 1000)) == list(range(30))
    writer.abandon()
    successor = journal(path, segment, resume=True)
    write(successor, 3000, 4000)
    found = early.take(30, 1000) or early.take(30, 1000)
    assert numbers(found) == list(range(30, 40))
    successor.close()
    early.close()
    late.close()
