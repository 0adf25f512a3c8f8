"""The commit record beside an output, as whoever is killed, reads meanwhile or damages it finds it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import gap, recorded

from dtopipe.model.errors import OutputLocked, SinkError
from dtopipe.model.position import Position
from dtopipe.model.span import Cause
from dtopipe.sinks.file.commit_record import CommitRecord, ensure_not_written, read_commit_record, record_path

Found = TypeVar("Found")
STREAM = recorded()
IN_ONE_FOLDER = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a_record(path: Path) -> bytes:
    """The bytes of a record with three commits and two gaps."""
    record = CommitRecord.begin(path, STREAM, "csv", 0, 5)
    for number in range(1, 4):
        gaps = [gap(STREAM, number * 10, number * 10 + 2)] if number < 3 else []
        record.commit(Position(0, number * 20, 0, number * 20), number * 100, gaps)
    record.release()
    return record_path(path).read_bytes()


def unless_damaged(path: Path, read: Callable[[], Found]) -> Found | None:
    """What is read, or None with the right error."""
    refused = None
    try:
        return read()
    except SinkError as error:
        refused = error
    assert refused.path == str(record_path(path))
    assert refused.remedy
    return None


def test_who_was_killed_while_beginning_has_begun_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out"
    whole = a_record(path)
    for left in (b"", bytes(8), bytes(8) + whole[8:40], bytes(8) + whole[8:]):
        record_path(path).write_bytes(left)
        assert read_commit_record(path) is None
        assert CommitRecord.resume(path, STREAM.run_id) is None
    assert a_record(path) == whole


def test_looking_for_a_record_leaves_none_behind(tmp_path: Path) -> None:
    assert CommitRecord.resume(tmp_path / "out", STREAM.run_id) is None
    assert read_commit_record(tmp_path / "out") is None
    ensure_not_written(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_its_writers_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "out"
    record = CommitRecord.begin(path, STREAM, "csv", 0, 0)
    others: list[Callable[[], object]] = [
        lambda: CommitRecord.begin(path, STREAM, "csv", 0, 0),
        lambda: CommitRecord.resume(path, STREAM.run_id),
        lambda: ensure_not_written(path),
    ]
    for other in others:
        with pytest.raises(OutputLocked, match="another process"):
            other()
    record.commit(Position(0, 7, 0, 7), 70)
    record.release()
    record.release()
    successor = CommitRecord.resume(path, STREAM.run_id)
    assert successor is not None
    assert (successor.position, successor.data_bytes, successor.extra) == (Position(0, 7, 0, 7), 70, b"")
    successor.release()


def test_readers_see_whole_commits_that_never_go_back_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out"
    record = CommitRecord.begin(path, STREAM, "csv", 0, 0)
    read_enough = threading.Event()

    def write() -> None:
        at = 0
        while not read_enough.is_set():
            at += 3
            record.commit(Position(0, at, 0, at - 2, 2), at, [gap(STREAM, at - 2, at)] if at < 300 else [])

    writer = threading.Thread(target=write)
    writer.start()
    last = 0
    try:
        for _ in range(300):
            snapshot = read_commit_record(path)
            assert snapshot is not None
            assert snapshot.position.committed == snapshot.data_bytes >= last
            assert [one.span.stop for one in snapshot.gaps] == [*range(3, min(snapshot.data_bytes, 297) + 1, 3)]
            last = snapshot.data_bytes
    finally:
        read_enough.set()
        writer.join()
    record.release()
    assert last > 0


@IN_ONE_FOLDER
@given(data=st.data())
def test_damage_is_said_with_path_and_way_out_and_never_written_over(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "out"
    good = a_record(path)
    damaged = bytearray(good)
    for at in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(good)) | st.just(len(good))) :]
    record_path(path).write_bytes(damaged)
    snapshot = unless_damaged(path, lambda: read_commit_record(path))
    # A torn record gives way to the one before.
    assert snapshot is None or snapshot.position.committed in (40, 60)
    record = unless_damaged(path, lambda: CommitRecord.resume(path, STREAM.run_id))
    if record:
        record.release()
    assert record_path(path).read_bytes() == bytes(damaged)


def test_a_sinks_own_state_is_kept_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    record = CommitRecord.begin(path, STREAM, "csv", 0, 0)
    record.commit(Position(), 0, extra=bytes(range(32)))
    with pytest.raises(ValueError, match="at most 32"):
        record.commit(Position(), 0, extra=bytes(33))
    record.release()
    snapshot = read_commit_record(path)
    assert snapshot is not None
    assert snapshot.extra == bytes(range(32))


def test_a_gap_that_has_grown_for_a_commit_that_did_not_come_about_is_as_before(tmp_path: Path) -> None:
    path, quiet = tmp_path / "out", Cause.NOT_TRIGGERED
    record = CommitRecord.begin(path, STREAM, "csv", 0, 5)
    record.commit(Position(0, 30, 0, 10, 20), 100, [gap(STREAM, 10, 30, quiet)])
    before = record_path(path).read_bytes()
    record.commit(Position(0, 50, 0, 10, 40), 100, [gap(STREAM, 30, 40, quiet), gap(STREAM, 40, 50, quiet)])
    record.release()
    after = record_path(path).read_bytes()
    assert len(after) == len(before), "quiet hours take no room"
    found = read_commit_record(path)
    assert found is not None
    assert found.gaps == (gap(STREAM, 10, 50, quiet),)
    # Killed between the entry and the record that counts it: the list is the new one, the records are the old ones.
    entry_bytes = 32
    record_path(path).write_bytes(before[:-entry_bytes] + after[-entry_bytes:])
    found = read_commit_record(path)
    assert found is not None
    assert (found.position.committed, found.gaps) == (30, (gap(STREAM, 10, 30, quiet),))
    successor = CommitRecord.resume(path, STREAM.run_id)
    assert successor is not None
    assert successor.gaps() == [gap(STREAM, 10, 30, quiet)]
    successor.commit(Position(0, 45, 0, 10, 35), 100, [gap(STREAM, 30, 45, quiet)])
    successor.commit(Position(0, 55, 0, 20, 35), 200)
    successor.commit(Position(0, 60, 0, 20, 40), 200, [gap(STREAM, 55, 60, quiet)])
    assert successor.gaps() == [gap(STREAM, 10, 45, quiet), gap(STREAM, 55, 60, quiet)]
    successor.release()
