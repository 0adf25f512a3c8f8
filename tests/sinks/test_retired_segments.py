"""Segments of a journal go oldest first, on record before they are deleted; what a user deletes is damage."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import block, blocks, codes_of, gap, recorded
from retiring_writer import GAP, NEEDED, ROUND
from retiring_writer import STREAM as KILLED_STREAM
from retiring_writer import journal as killed_journal

from dtopipe.intake.journal import JournalReader
from dtopipe.model.errors import SinkError, UsageError
from dtopipe.model.policy import OnExists
from dtopipe.model.position import Position
from dtopipe.model.span import Span
from dtopipe.repair.raw_samples import RawSamples
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.commit_record import CommitRecord, read_commit_record
from dtopipe.sinks.hbuf.reader import HbufReader
from dtopipe.sinks.hbuf.retention import SegmentShelf
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.verify.raw_source import RawSource
from dtopipe.wire.commit_snapshot import record_path
from dtopipe.wire.raw_files import read_index, segment_path, segments_of

STREAM = recorded()
UNTIL_DURABLE = {"until": "durable"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.dt-raw"


def journal(path: Path, *, resume: bool = False, **other: Any) -> HbufWriter:
    writer = HbufWriter(OutputOptions(path, **other), segment=3000, journal=True, retention=UNTIL_DURABLE)
    writer.open(STREAM, 0, resume=resume)
    return writer


def write(writer: HbufWriter, start: int, stop: int) -> None:
    """A commit every five blocks of 100 samples, which is a segment."""
    for at in range(start, stop, 500):
        writer.append(blocks(STREAM, at, min(at + 500, stop)))
        writer.commit()


def samples(path: Path) -> list[int]:
    return [index for rows in HbufReader(path).batches() for index in rows.sample_index.tolist()]


class Killed(BaseException):
    """As if the process had ended here."""


def killed(*arguments: Any) -> None:
    raise Killed


def test_the_oldest_segments_go_up_to_what_is_settled_and_the_account_stays(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 4000)
    assert segments_of(path) == list(range(1, 10))
    assert writer.retire_before(499).retained_from == 0
    assert writer.retire_before(1400) == Position(0, 4000, 4000, 4000, 0, 0, 1000)
    assert segments_of(path) == list(range(3, 10))
    write(writer, 4000, 4500)
    assert writer.close() == Position(0, 4500, 4500, 4500, 0, 0, 1000)
    assert samples(path) == list(range(1000, 4500))


def test_the_segment_that_is_written_never_goes(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 1000)
    writer.append(blocks(STREAM, 1000, 1200))
    writer.commit()
    assert writer.retire_before(10**9).retained_from == 1000
    assert len(segments_of(path)) == 1
    writer.close()
    assert samples(path) == list(range(1000, 1200))


def test_what_is_appended_and_not_committed_is_no_part_of_the_record(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 2000)
    writer.append([gap(STREAM, 2000, 2100), block(STREAM, 2100, 2200)])
    writer.retire_before(1000)
    writer.abandon()
    writer = journal(path, resume=True)
    write(writer, 2000, 3000)
    writer.close()
    assert samples(path) == list(range(1000, 3000))


def test_whoever_is_killed_just_behind_the_beginning_of_a_segment_goes_on(path: Path) -> None:
    writer = HbufWriter(OutputOptions(path), segment=8000, journal=True)
    writer.open(STREAM, 0, resume=False)
    # As in a run: the segment is synced for long before it is full.
    writer.append(blocks(STREAM, 0, 300))
    writer.commit()
    assert writer.sync().durable == 300
    assert len(segments_of(path)) == 1
    writer.append(blocks(STREAM, 300, 3600))
    writer.commit()
    assert len(segments_of(path)) == 2
    snapshot = read_commit_record(path)
    assert snapshot is not None
    assert snapshot.durable_bytes == snapshot.data_bytes
    writer.abandon()
    again = HbufWriter(OutputOptions(path), segment=8000, journal=True)
    assert again.open(STREAM, 0, resume=True).committed == 3600
    again.close()
    assert samples(path) == list(range(3600))


@pytest.mark.parametrize("left", ["nothing yet", "a header"])
def test_a_segment_that_was_only_begun_when_the_writer_was_killed_is_nobodys(path: Path, left: str) -> None:
    writer = HbufWriter(OutputOptions(path), segment=4000, journal=True)
    writer.open(STREAM, 0, resume=False)
    writer.append(blocks(STREAM, 0, 3000))
    writer.commit()
    last = segments_of(path)[-1]
    writer.append(blocks(STREAM, 3000, 3100))
    position = writer.commit()
    writer.abandon()
    assert segments_of(path)[-1] == last
    header = segment_path(path, last).read_bytes()
    header = header[: 4 + int.from_bytes(header[:4], "little")]
    segment_path(path, last + 1).write_bytes(b"" if left == "nothing yet" else header)
    reader = HbufReader(path)
    assert list(reader.gaps()) == []
    assert np.concatenate([rows.sample_index for rows in reader.batches()]).tolist() == list(range(3100))
    along = JournalReader(path)
    assert sum(each.n_samples for each in along.take(0, 1000)) == 3100
    along.close()
    again = HbufWriter(OutputOptions(path), segment=4000, journal=True)
    assert again.open(STREAM, 0, resume=True) == position
    again.close()
    assert segments_of(path)[-1] == last


def test_without_retention_all_is_kept(path: Path) -> None:
    writer = HbufWriter(OutputOptions(path), segment=3000, journal=True)
    writer.open(STREAM, 0, resume=False)
    write(writer, 0, 2000)
    assert writer.retire_before(2000) == Position(0, 2000, 0, 2000)
    writer.close()
    assert samples(path) == list(range(2000))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"segment": 3000, "retention": {"until": "committed"}}, "cannot be"), ({"retention": UNTIL_DURABLE}, "one file")],
)
def test_what_cannot_be_a_retention_is_refused(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SinkError, match=message):
        HbufWriter(OutputOptions(path), **options)


def test_a_kill_behind_the_record_leaves_segments_that_are_nobodys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = journal(path)
    write(writer, 0, 3000)
    with monkeypatch.context() as patch:
        patch.setattr(SegmentShelf, "delete", killed)
        with pytest.raises(Killed):
            writer.retire_before(1500)
    writer.abandon()
    assert segments_of(path)[:3] == [1, 2, 3]
    assert HbufReader(path).position().retained_from == 1500
    assert samples(path) == list(range(1500, 3000))
    successor = journal(path, resume=True)
    successor.retire_before(0)
    assert segments_of(path)[0] == 4
    write(successor, 3000, 3500)
    successor.close()
    assert samples(path) == list(range(1500, 3500))


def test_a_kill_before_the_record_is_whole_leaves_every_segment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = journal(path)
    write(writer, 0, 3000)
    with monkeypatch.context() as patch:
        patch.setattr(CommitRecord, "retain", killed)
        with pytest.raises(Killed):
            writer.retire_before(1500)
    writer.abandon()
    assert samples(path) == list(range(3000))
    successor = journal(path, resume=True)
    assert successor.retire_before(1500).retained_from == 1500
    successor.close()
    assert samples(path) == list(range(1500, 3000))


def test_either_of_the_two_records_knows_what_went_once_a_segment_is_deleted(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 2000)
    writer.retire_before(1000)
    writer.abandon()
    record = path.with_name(path.name + ".dtopipe")
    whole = record.read_bytes()
    begins = [whole.index(header) for header in _records(whole)]
    for at in begins:
        record.write_bytes(whole[:at] + bytes(128) + whole[at + 128 :])
        snapshot = read_commit_record(path)
        assert snapshot is not None
        assert (snapshot.position.retained_from, samples(path)) == (1000, list(range(1000, 2000)))


def _records(whole: bytes) -> list[bytes]:
    """The two records, behind the header that ends at a multiple of 64."""
    length = int.from_bytes(whole[12:16], "little")
    at = -(-(16 + length) // 64) * 64
    return [whole[at : at + 128], whole[at + 128 : at + 256]]


def test_a_record_that_cannot_be_synced_deletes_nothing_and_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = journal(path)
    write(writer, 0, 2000)

    def refused(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", refused)
        writer.retire_before(1000)
        assert segments_of(path)[0] == 1
    write(writer, 2000, 2500)
    assert writer.retire_before(1000).retained_from == 1000
    assert segments_of(path)[0] == 3
    writer.close()
    assert samples(path) == list(range(1000, 2500))


def test_what_cannot_be_deleted_is_tried_again_and_read_by_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = journal(path)
    write(writer, 0, 3000)
    really = Path.unlink

    def held(file: Path, missing_ok: bool = False) -> None:
        if ".0002." in file.name:
            raise PermissionError(13, "Another program has it open")
        really(file, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", held)
        for _ in range(3):
            assert writer.retire_before(2000).retained_from == 2000
        assert segments_of(path)[:3] == [2, 3, 4]
    assert samples(path) == list(range(2000, 3000))
    writer.retire_before(2000)
    assert segments_of(path)[0] == 5
    writer.close()


def test_a_successor_knows_where_the_segments_of_its_predecessor_end(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 2000)
    writer.append([gap(STREAM, 2000, 2300), *blocks(STREAM, 2300, 2600)])
    writer.commit()
    writer.retire_before(500)
    writer.abandon()
    writer = journal(path, resume=True)
    assert writer.retire_before(999).retained_from == 500
    assert writer.retire_before(1000).retained_from == 1000
    assert writer.retire_before(1999).retained_from == 1500
    assert writer.retire_before(2000).retained_from == 2000
    assert writer.retire_before(10**9).retained_from == 2000
    writer.close()


def test_a_segment_that_a_successor_cannot_read_stays_as_long_as_the_one_before_might_be_needed(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 2000)
    writer.abandon()
    segment_path(path, 2).write_bytes(b"no raw file")
    writer = journal(path, resume=True)
    assert writer.retire_before(999).retained_from == 0
    assert writer.retire_before(1000).retained_from == 1000
    writer.close()


def test_gaps_of_what_went_stay_in_the_account(path: Path) -> None:
    writer = journal(path)
    writer.append([*blocks(STREAM, 0, 600), gap(STREAM, 600, 700), *blocks(STREAM, 700, 1200)])
    writer.commit()
    writer.append([*blocks(STREAM, 1200, 1800), gap(STREAM, 1800, 1900)])
    writer.commit()
    assert writer.retire_before(1200) == Position(0, 1900, 1900, 1700, 200, 0, 1200)
    writer.close()
    assert list(HbufReader(path).gaps()) == [gap(STREAM, 600, 700), gap(STREAM, 1800, 1900)]


@pytest.mark.parametrize("deleted", [3, 5, "last"], ids=["first", "middle", "last"])
def test_a_segment_that_somebody_else_deletes_is_damage_and_named(path: Path, deleted: int | str) -> None:
    writer = journal(path)
    write(writer, 0, 3200)
    writer.retire_before(1000)
    writer.close()
    file = segment_path(path, segments_of(path)[-1] if deleted == "last" else int(deleted))
    file.unlink()
    told: list[str] = []
    with pytest.raises(SinkError, match=f"{file.name}.*not there, and nothing says that it was retired"):
        list(HbufReader(path).batches())
    if deleted != "last":
        indices = [i for rows in HbufReader(path).sound_batches(told.append) for i in rows.sample_index.tolist()]
        assert len(indices) == 2200 - 500
        assert [message for message in told if file.name in message]


def test_whoever_reads_while_a_segment_is_retired_is_told_so_and_finds_no_damage(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 3000)
    before, source = HbufReader(path), RawSource(path)
    reading = HbufReader(path).batches()
    writer.retire_before(1500)
    told: list[str] = []
    assert sum(len(rows.sample_index) for rows in before.sound_batches(told.append)) == 1500
    assert len(told) == 3
    for number, said in enumerate(told, start=1):
        assert f"archive.000{number}.dt-raw: this segment went while it was to be read" in said
    reads: list[Callable[[], object]] = [lambda: list(before.batches()), lambda: list(reading)]
    for read in reads:
        with pytest.raises(SinkError, match="went while it was to be read"):
            read()
    with pytest.raises(UsageError, match="try again once the run has ended"):
        list(source.items())
    assert samples(path) == list(range(1500, 3000))
    writer.close()


def test_the_journal_is_read_along_from_where_it_is_retained(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 3000)
    reader = JournalReader(path)
    try:
        assert [each.block_index for each in reader.take(0, 5)] == [0, 1, 2, 3, 4]
        # It stands at the end of a segment that goes.
        writer.retire_before(2000)
        assert [each.block_index for each in reader.take(20, 100)] == list(range(20, 30))
        reader.close()
        for first in (0, 20, 29):
            found = reader.take(first, 100)
            assert [each.block_index for each in found] == list(range(max(first, 20), 30))
            np.testing.assert_array_equal(found[0].codes, codes_of(2, max(first, 20) * 100, max(first, 20) * 100 + 100))
            reader.close()
    finally:
        reader.close()
    writer.close()


def test_a_reader_at_the_end_of_a_segment_that_goes_finds_the_next(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 500)
    reader = JournalReader(path)
    try:
        assert len(reader.take(0, 5)) == 5
        write(writer, 500, 1500)
        writer.retire_before(500)
        assert not segment_path(path, 1).exists()
        # Where a segment ends it looks no further than it knew.
        found = reader.take(5, 100) or reader.take(5, 100)
        assert [each.block_index for each in found] == list(range(5, 15))
    finally:
        reader.close()
    writer.close()


def test_the_index_forgets_what_is_retired_once_that_is_most_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dtopipe.sinks.hbuf.segments._LONG_BYTES", 100)
    writer = journal(path)
    write(writer, 0, 4000)
    writer.retire_before(1000)
    assert len(read_index(path)) == 8
    writer.retire_before(2500)
    assert read_index(path)["segment"].tolist() == [6, 7, 8]
    write(writer, 4000, 5000)
    assert read_index(path)["number"].tolist() == [25, 30, 35, 40, 45]
    reader = JournalReader(path)
    assert [each.block_index for each in reader.take(42, 100)] == list(range(42, 50))
    reader.close()
    writer.close()


def test_a_conversion_begins_where_the_journal_is_retained_from_and_has_no_gap_there(path: Path) -> None:
    writer = journal(path)
    write(writer, 0, 3000)
    writer.retire_before(1200)
    writer.close()
    source = RawSource(path)
    items = list(source.items())
    assert (source.start, items[0].span.start, items[-1].span.stop) == (1000, 1000, 3000)
    assert sum(len(item.span) for item in items) == 2000


def test_retained_outputs_that_are_moved_aside_do_not_meet(path: Path) -> None:
    for _ in range(3):
        writer = journal(path, on_exists=OnExists.RENAME)
        write(writer, 0, 3000)
        writer.retire_before(1500)
        writer.close()
    for name in ("archive.dt-raw", "archive.1.dt-raw", "archive.2.dt-raw"):
        assert samples(path.with_name(name)) == list(range(1500, 3000)), name


def test_one_that_takes_the_place_of_a_retained_output_goes_on_with_its_account(path: Path) -> None:
    writer = HbufWriter(OutputOptions(path), segment=3000)
    writer.open(STREAM, 1500, resume=False)
    known = Position(0, 1500, 1500, 1400, 100, 0, 1500)
    assert writer.carry(known, [gap(STREAM, 600, 700)]) == known
    write(writer, 1500, 2500)
    assert writer.close() == Position(0, 2500, 2500, 2400, 100, 0, 1500)
    assert samples(path) == list(range(1500, 2500))
    assert list(HbufReader(path).gaps()) == [gap(STREAM, 600, 700)]


def test_wherever_a_kill_comes_all_that_is_retained_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "archive.dt-raw"
    dice = random.Random(17)
    for _ in range(6):
        said, retained_from = _retire_and_be_killed(path, dice.randint(3, 40))
        reader = HbufReader(path)
        position = reader.position()
        # It may have committed once more, and retired, and been killed before it could say so.
        assert said <= position.committed <= said + ROUND
        assert retained_from <= position.retained_from <= max(0, position.committed - NEEDED)
        _assert_whole(reader, position)
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    _assert_whole(HbufReader(tmp_path.with_name("copy") / path.name), position)
    writer = killed_journal(path)
    assert writer.open(KILLED_STREAM, 0, resume=True) == position
    writer.retire_before(0)
    writer.close()
    assert len(segments_of(path)) < 10
    _assert_whole(HbufReader(path), position)


def _retire_and_be_killed(path: Path, n_turns: int) -> tuple[int, int]:
    """What it said last before the kill, or while it came: committed, retained_from."""
    program = Path(__file__).with_name("retiring_writer.py")
    with subprocess.Popen([sys.executable, str(program), str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(n_turns):
            said = process.stdout.readline()
            assert said, "the writer ended by itself"
        process.kill()
        lines = [said, *(line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
    committed, retained_from = map(int, lines[-1].split())
    return committed, retained_from


def _assert_whole(reader: HbufReader, position: Position) -> None:
    assert (position.start, position.samples + position.gap_samples) == (0, position.committed)
    rounds = range(ROUND, position.committed + 1, ROUND)
    # A gap may be in the file that no commit names yet.
    gaps = [found for found in reader.gaps() if found.span.stop <= position.committed]
    assert gaps == [gap(KILLED_STREAM, stop - GAP, stop) for stop in rounds]
    found = np.concatenate([rows.sample_index for rows in reader.batches()])
    wanted = [i for i in range(position.retained_from, position.committed) if i % ROUND < ROUND - GAP]
    np.testing.assert_array_equal(found, wanted)


def test_a_first_segment_that_no_commit_names_is_read_and_gone_on_with(path: Path) -> None:
    """As a power cut leaves it: the record as it was begun, and behind it whole chunks that were to be committed."""
    begun = journal(path)
    record = record_path(path).read_bytes()
    write(begun, 0, 1000)
    begun.abandon()
    record_path(path).write_bytes(record)
    reader = HbufReader(path)
    assert (reader.position().committed, reader.reach().committed) == (0, 1000)
    assert list(reader.batches()) == []
    sound = [rows.sample_index for rows in reader.sound_batches(lambda damage: None)]
    np.testing.assert_array_equal(np.concatenate(sound), np.arange(1000))
    assert RawSamples("archive", path, STREAM).spans() == [Span(0, 1000)]
    front = reader.front()
    assert front is not None
    assert front.stop == 1000
