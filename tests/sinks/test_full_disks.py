"""After SinkUnavailable an output goes on as if nothing had been, whoever wrote its writer: on disks that are full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from naive_writer import NaiveWriter, line

from dtopipe.model.errors import OutputAway, SinkError, SinkUnavailable
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.sinks.contract import OutputOptions, may_retry
from dtopipe.sinks.file.reopening import ReopeningWriter
from dtopipe.sinks.registry import OURS, load_reader, load_writer, sink_type
from dtopipe.testing.sink_faults import PIECE, STREAM, FilledDisk, noise, written_patiently

N_PIECES = 200
KINDS = [kind for kind in OURS if sink_type(kind).server is None]
# A row group often enough that some meet the full disk.
OPTIONS = {"parquet": {"row_group_size": 1000}, "hdf5": {"chunk_rows": 250}}


@pytest.mark.parametrize("pieces_a_commit", [1, 7])
@pytest.mark.parametrize("retries", [True, False], ids=["as it is", "opened again"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_full_disk_refused_is_there_once_byte_for_byte(
    kind: str, retries: bool, pieces_a_commit: int, small_disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = load_writer(kind)
    one = make(OutputOptions(tmp_path / "none"))
    assert may_retry(one)
    monkeypatch.setattr(type(one), "retries", retries)
    disk, undisturbed = small_disk("48m"), tmp_path / "undisturbed"
    written = disk.path / "out"
    filled = FilledDisk(disk)

    def writer(path: Path) -> ReopeningWriter:
        return ReopeningWriter(lambda: make(OutputOptions(path, Layout.WIDE), **OPTIONS.get(kind, {})), path)

    position = written_patiently(writer(written), noise(N_PIECES), filled, (0, 1000, 5000, 9000), pieces_a_commit)
    assert position.samples == position.committed == PIECE * N_PIECES
    assert filled.refused
    nothing_full = FilledDisk(disk)
    nothing_full.fill = lambda leaving_bytes: None  # type: ignore[method-assign]
    assert written_patiently(writer(undisturbed), noise(N_PIECES), nothing_full, (0,), pieces_a_commit) == position
    assert not nothing_full.refused
    if kind in ("csv", "jsonl", "hbuf"):
        assert written.read_bytes() == undisturbed.read_bytes()
    # Of others the bytes depend on how often a footer was written, or a page taken.
    found = [list(load_reader(kind)(path, run_id=STREAM.run_id).batches()) for path in (written, undisturbed)]
    columns = [
        [np.concatenate([getattr(batch, name) for batch in batches]) for name in ("sample_index", "t_utc_ns")]
        + [np.concatenate([batch.values[c] for batch in batches]) for c in range(8)]
        for batches in found
    ]
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(*columns, strict=True))


@pytest.mark.parametrize("pieces_a_commit", [1, 7])
@pytest.mark.parametrize("buffered", [False, True])
def test_a_writer_that_takes_nothing_back_is_opened_again_so_that_half_a_line_is_cut_off(
    buffered: bool, pieces_a_commit: int, small_disk: Any
) -> None:
    disk = small_disk("4m")
    path = disk.path / "out.txt"
    assert not may_retry(NaiveWriter(OutputOptions(path)))
    filled = FilledDisk(disk)
    writer = ReopeningWriter(lambda: NaiveWriter(OutputOptions(path), buffered=buffered), path)
    position = written_patiently(writer, noise(N_PIECES), filled, (0, 300, 700), pieces_a_commit)
    assert {"append", "commit"} & set(filled.refused)
    assert position.samples == PIECE * N_PIECES
    assert path.read_bytes() == b"".join(map(line, noise(N_PIECES)))


class Scripted:
    """Raises what it is told to, call by call, and notes what is asked of it."""

    def __init__(self, calls: list[str], raises: dict[str, list[Exception]], told: list[Position]) -> None:
        self._calls, self._raises, self._told = calls, raises, told
        self._at = Position()

    def open(self, stream: Any, start: int, *, resume: bool) -> Position:
        self._do(f"open resume={resume}")
        self._at = self._told.pop(0) if self._told else Position(start, start, start)
        return self._at

    def append(self, items: Sequence[Any]) -> None:
        self._do(f"append {[item.first_sample_index for item in items]}")
        self._at = self._at.after(items)

    def commit(self) -> Position:
        self._do("commit")
        return self._at

    def sync(self) -> Position:
        self._do("sync")
        return self._at

    def close(self) -> Position:
        self._do("close")
        return self._at

    def abandon(self) -> None:
        self._do("abandon")

    def _do(self, call: str) -> None:
        self._calls.append(call)
        waiting = self._raises.get(call.split()[0])
        if waiting:
            raise waiting.pop(0)


class Retrying(Scripted):
    retries = True


def scripted(
    kind: type[Scripted], raises: dict[str, list[Exception]], told: list[Position] | None = None
) -> tuple[ReopeningWriter, list[str]]:
    calls: list[str] = []
    told = [] if told is None else told
    writer = ReopeningWriter(lambda: kind(calls, raises, told), Path("/nowhere/out"))
    writer.open(STREAM, 0, resume=False)
    calls.clear()
    return writer, calls


BLOCKS = noise(3)
FULL: list[Exception] = [SinkUnavailable("out", "the disk is full", "free some")]


def test_a_writer_that_promises_it_is_asked_the_same_again() -> None:
    writer, calls = scripted(Retrying, {"commit": FULL.copy()})
    writer.append(BLOCKS)
    with pytest.raises(SinkUnavailable):
        writer.commit()
    assert writer.commit().committed == 300
    assert calls == ["append [0, 100, 200]", "commit", "commit"]


@pytest.mark.parametrize("error", [*FULL, OSError(28, "No space left on device"), OSError(122, "Disk quota exceeded")])
def test_any_other_is_abandoned_opened_again_and_given_what_was_not_committed(error: Exception) -> None:
    writer, calls = scripted(Scripted, {"append": [], "commit": [error]})
    writer.append(BLOCKS[:2])
    writer.append(BLOCKS[2:])
    with pytest.raises(SinkUnavailable):
        writer.commit()
    # Nothing is done to it before it is opened again.
    assert calls == ["append [0, 100]", "append [200]", "commit"]
    assert writer.commit().committed == 300
    assert calls[3:] == ["abandon", "open resume=True", "append [0, 100, 200]", "commit"]


def test_what_an_append_refused_is_not_given_twice() -> None:
    raises: dict[str, list[Exception]] = {}
    writer, calls = scripted(Scripted, raises)
    writer.append(BLOCKS[:1])
    raises["append"] = FULL.copy()
    with pytest.raises(SinkUnavailable):
        writer.append(BLOCKS[1:])
    writer.append(BLOCKS[1:])
    assert calls[2:] == ["abandon", "open resume=True", "append [0]", "append [100, 200]"]


def test_a_commit_that_failed_and_is_in_the_output_after_all_is_not_written_again() -> None:
    told = [Position(), Position(0, 300, 0, 300)]
    writer, calls = scripted(Scripted, {"commit": FULL.copy()}, told)
    writer.append(BLOCKS)
    with pytest.raises(SinkUnavailable):
        writer.commit()
    assert writer.commit().committed == 300
    assert calls[2:] == ["abandon", "open resume=True", "commit"]


def test_as_long_as_it_cannot_be_opened_it_is_tried_again_and_nothing_else_is_asked() -> None:
    raises: dict[str, list[Exception]] = {"sync": FULL.copy(), "abandon": [OSError(28, "what it still held")]}
    writer, calls = scripted(Scripted, raises)
    writer.append(BLOCKS)
    writer.commit()
    with pytest.raises(SinkUnavailable):
        writer.sync()
    raises["open"] = [OSError(28, "No space left on device"), *FULL]
    for _ in range(2):
        with pytest.raises(SinkUnavailable):
            writer.sync()
    assert calls[3:] == ["abandon", "open resume=True"] * 2


def test_whoever_comes_back_with_less_than_was_committed_is_refused() -> None:
    told = [Position(), Position(0, 100, 0, 100)]
    writer, _ = scripted(Scripted, {"sync": FULL.copy()}, told)
    writer.append(BLOCKS)
    writer.commit()
    with pytest.raises(SinkUnavailable):
        writer.sync()
    with pytest.raises(SinkError, match="holds samples up to 100, and 300 were committed"):
        writer.sync()


def test_a_disk_that_goes_means_opening_again_whatever_was_promised() -> None:
    writer, calls = scripted(Retrying, {"commit": [OutputAway("out", "gone", "mount it"), OSError(5, "I/O error")]})
    writer.append(BLOCKS)
    for _ in range(2):
        with pytest.raises(OutputAway):
            writer.commit()
    assert writer.commit().committed == 300
    assert calls.count("open resume=True") == 2


def test_what_is_no_full_disk_is_final_and_told_with_its_path() -> None:
    writer, _ = scripted(Scripted, {"append": [OSError(21, "Is a directory")]})
    with pytest.raises(SinkError, match="/nowhere/out: Is a directory") as refused:
        writer.append(BLOCKS)
    assert not isinstance(refused.value, SinkUnavailable)
