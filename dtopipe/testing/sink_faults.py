"""What every sink promises when its disk is full: the way out is said, and nothing is lost or there twice after it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dtopipe.model.errors import SinkError, SinkUnavailable
from dtopipe.model.position import Position
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import SinkWriter
from dtopipe.sinks.file.reopening import ReopeningWriter
from dtopipe.testing.recordings import ANCHOR, recorded
from dtopipe.testing.sink_suite import SinkSuite
from dtopipe.testing.sink_under_test import SinkUnderTest
from dtopipe.testing.small_disk import SmallDisk, mounted

# Samples per channel in a piece.
PIECE = 100
STREAM = recorded(tuple("abcdefgh"))


class SinkFaults(SinkSuite):
    """Real disks that are really full; for users who can mount none, files that may grow no further."""

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Callable[[str], SmallDisk]]:
        """`small_disk("8m")`: a file system of this size, unmounted in the end; skips where none can be mounted."""
        with contextlib.ExitStack() as stack:
            yield lambda size: stack.enter_context(mounted(tmp_path / "disk", size))

    def test_a_full_disk_is_said_with_the_way_out_and_the_output_goes_on_once_there_is_room(
        self, file_sink: SinkUnderTest, small_disk: Callable[[str], Any]
    ) -> None:
        self._skip_what_takes_no_room()
        disk = small_disk("1m")
        sink = file_sink.at(disk.path / file_sink.file.name)
        filler = disk.path / "filler"
        filler.write_bytes(bytes(600_000))
        pieces = noise(400)
        writer = sink.writer()
        writer.open(STREAM, 0, resume=False)
        committed, refused = _written_until_refused(writer, pieces)
        # A writer may let an OSError through: the framework says then what the system said.
        assert refused is not None, "it wrote everything where there was no room for it, or nothing"
        if isinstance(refused, SinkError):
            assert refused.path is not None
            assert refused.remedy
        writer.abandon()
        filler.unlink()
        disk.resize("100m")
        _assert_goes_on(sink, pieces, committed)

    @pytest.mark.parametrize("pieces_a_commit", [1, 7])
    def test_after_the_disk_was_full_the_same_calls_again_write_everything_once(
        self, file_sink: SinkUnderTest, small_disk: Callable[[str], Any], pieces_a_commit: int
    ) -> None:
        self._skip_what_takes_no_room()
        disk, pieces = small_disk("24m"), noise(80)
        sink, filled = file_sink.at(disk.path / file_sink.file.name), FilledDisk(disk)
        writer = ReopeningWriter(sink.writer, sink.path)
        position = written_patiently(writer, pieces, filled, (0, 1000, 5000, 9000), pieces_a_commit)
        assert position.samples == position.committed == PIECE * len(pieces)
        assert filled.refused, "it was never told that the disk is full"
        _assert_holds(sink, pieces)

    @pytest.mark.parametrize("limit", [500, 5_000, 20_000, 60_001])
    def test_behind_a_file_that_may_grow_no_further_a_successor_goes_on(
        self, file_sink: SinkUnderTest, limit: int
    ) -> None:
        pieces = noise(100)
        writer = file_sink.writer()
        committed = 0
        with _files_no_larger_than(limit):
            try:
                writer.open(STREAM, 0, resume=False)
            except (OSError, SinkError):
                pass
            else:
                committed, _ = _written_until_refused(writer, pieces)
            writer.abandon()
        _assert_goes_on(file_sink, pieces, committed)

    def _skip_what_takes_no_room(self) -> None:
        if not self.takes_room:
            pytest.skip("no disk is too small for it")


class FilledDisk:
    """A disk that is full whenever it is told to be, and has room once a call was refused."""

    def __init__(self, disk: Any) -> None:
        self._disk = disk
        self.refused: list[str] = []

    def fill(self, leaving_bytes: int) -> None:
        """Leave so much room."""
        self._disk.fill(leaving_bytes)

    def patiently(self, name: str, call: Callable[[], Any]) -> Any:
        """As a worker does it: the same call again, once there is room."""
        while True:
            try:
                return call()
            except SinkUnavailable as error:
                self.refused.append(name)
                if len(self.refused) > 50 or not error.path or not error.remedy:
                    raise
                (self._disk.path / "ballast").unlink(missing_ok=True)


def noise(n_pieces: int) -> list[Block]:
    """Blocks of eight channels that no format can make small."""
    rng = np.random.default_rng(0)
    return [
        Block(number, number * PIECE, rng.integers(-30_000, 30_000, (8, PIECE)).astype(np.int16), ANCHOR)
        for number in range(n_pieces)
    ]


def written_patiently(
    writer: Any, pieces: Sequence[Block], filled: FilledDisk, leaving: Sequence[int], pieces_a_commit: int
) -> Position:
    """All pieces, with a full disk before every tenth piece: the room that it leaves goes round in `leaving`."""
    filled.patiently("open", lambda: writer.open(STREAM, 0, resume=False))
    for number, block in enumerate(pieces):
        if number % 10 == 5:
            filled.fill(leaving[(number // 10) % len(leaving)])
        filled.patiently("append", lambda: writer.append([block]))  # noqa: B023
        if number % pieces_a_commit == pieces_a_commit - 1:
            filled.patiently("commit", writer.commit)
        if number % 50 == 49:
            filled.patiently("sync", writer.sync)
    filled.fill(0)
    position: Position = filled.patiently("close", writer.close)
    return position


def _written_until_refused(writer: SinkWriter, pieces: Sequence[Block]) -> tuple[int, Exception | None]:
    """(how far it had committed, what it raised)."""
    committed = 0
    try:
        for one in pieces:
            writer.append([one])
            committed = writer.commit().committed
        writer.close()
    except (OSError, SinkError) as error:
        return committed, error
    return committed, None


def _assert_goes_on(sink: SinkUnderTest, pieces: Sequence[Block], committed: int) -> None:
    successor = sink.writer()
    position = successor.open(STREAM, 0, resume=True)
    assert position.committed >= committed
    successor.append([one for one in pieces if one.first_sample_index >= position.committed])
    assert successor.close().samples == len(pieces) * PIECE
    _assert_holds(sink, pieces)


def _assert_holds(sink: SinkUnderTest, pieces: Sequence[Block]) -> None:
    index, _, values = sink.rows(STREAM.run_id)
    assert np.array_equal(index, np.arange(len(pieces) * PIECE))
    codes = np.concatenate([one.codes for one in pieces], axis=1)
    assert np.array_equal(values, codes * STREAM.channels[0].scale + STREAM.channels[0].offset)


@contextlib.contextmanager
def _files_no_larger_than(n_bytes: int) -> Iterator[None]:
    if sys.platform == "win32":
        pytest.skip("this system has no limit of a file's size")
    else:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
