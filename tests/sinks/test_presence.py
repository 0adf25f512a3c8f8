"""An output that goes away under its writer's hands: waited for, opened again behind its last commit, never anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import blocks, codes_of, gap, polled, readings, recorded

from dtopipe.model.errors import OutputAway, SinkError, SinkUnavailable
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.reopening import ReopeningWriter
from dtopipe.sinks.registry import load_reader, load_writer

FILES = ("hbuf", "csv", "jsonl", "sqlite", "parquet", "hdf5")


def writer_of(sink_type: str, path: Path, **options: Any) -> ReopeningWriter:
    return ReopeningWriter(lambda: load_writer(sink_type)(OutputOptions(path), **options), path)


def samples(sink_type: str, path: Path, stream: Stream) -> None:
    """Assert that samples 0 to 1000 are there, once, in order, with the codes of the counter."""
    batches = list(load_reader(sink_type)(path, run_id="run-1").batches())
    assert np.array_equal(np.concatenate([batch.sample_index for batch in batches]), np.arange(1000))
    values = np.concatenate([np.stack(batch.values) for batch in batches], axis=1)
    scale, offset = stream.channels[0].scale, stream.channels[0].offset
    assert np.array_equal(values, codes_of(2, 0, 1000) * scale + offset)


@pytest.fixture(params=FILES)
def sink_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def begun(sink_type: str, tmp_path: Path) -> tuple[ReopeningWriter, Path, Stream]:
    """A writer in a folder of its own: 400 samples committed, 200 more appended."""
    path = tmp_path / "share" / "out"
    stream = recorded()
    writer = writer_of(sink_type, path)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 400))
    assert writer.commit().committed == 400
    writer.append(blocks(stream, 400, 600))
    return writer, path, stream


Goes = Callable[[Path], Callable[[], Any]]


def moved(folder: Path) -> Callable[[], Any]:
    """Away, and the same folder back."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    return lambda: aside.rename(folder)


def copied(folder: Path) -> Callable[[], Any]:
    """Away, and a copy back: what is open is another file by then."""
    aside = folder.with_name("aside")
    shutil.copytree(folder, aside)
    shutil.rmtree(folder)
    return lambda: aside.rename(folder)


def emptied(folder: Path) -> Callable[[], Any]:
    """As unmounting does: the folder stays, and has nothing in it."""
    back = moved(folder)
    folder.mkdir()

    def mounted_again() -> None:
        folder.rmdir()
        back()

    return mounted_again


@pytest.mark.parametrize("goes", [moved, copied, emptied])
def test_a_folder_that_vanished_is_waited_for_and_the_output_goes_on_behind_its_last_commit(
    begun: tuple[ReopeningWriter, Path, Stream], sink_type: str, goes: Goes
) -> None:
    writer, path, stream = begun
    comes_back = goes(path.parent)
    before = sorted(file.name for file in path.parent.parent.rglob("*"))
    for _ in range(3):
        with pytest.raises(OutputAway, match="any more") as away:
            writer.commit()
        assert "mount" in away.value.remedy
    # Nothing is begun in the place where it was.
    assert sorted(file.name for file in path.parent.parent.rglob("*")) == before
    comes_back()
    assert writer.commit().committed == 600
    writer.append(blocks(stream, 600, 1000))
    assert writer.close().samples == 1000
    samples(sink_type, path, stream)


def test_a_file_that_is_another_one_now_is_opened_again(
    begun: tuple[ReopeningWriter, Path, Stream], sink_type: str
) -> None:
    writer, path, stream = begun
    copied(path.parent)()
    with pytest.raises(OutputAway, match="another file"):
        writer.commit()
    assert writer.commit().committed == 600
    writer.append(blocks(stream, 600, 1000))
    writer.close()
    samples(sink_type, path, stream)


def test_a_disk_that_is_unmounted_and_mounted_again(sink_type: str, tmp_path: Path, small_disk: Any) -> None:
    disk = small_disk("8m")
    share = disk.mount_at(tmp_path / "share")
    path, stream = share.path / "out", recorded()
    writer = writer_of(sink_type, path)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 400))
    writer.commit()
    share.unmount()
    writer.append(blocks(stream, 400, 600))
    with pytest.raises(OutputAway, match="mounted"):
        writer.commit()
    with pytest.raises(OutputAway, match="mounted"):
        writer.append(blocks(stream, 600, 700))
    assert list(share.path.iterdir()) == []
    disk.mount_at(share.path)
    writer.append(blocks(stream, 600, 1000))
    writer.close()
    samples(sink_type, path, stream)


def test_an_output_on_a_disk_that_became_read_only_is_waited_for(sink_type: str, small_disk: Any) -> None:
    disk = small_disk("8m")
    path, stream = disk.path / "out", recorded()
    first = writer_of(sink_type, path)
    first.open(stream, 0, resume=False)
    first.append(blocks(stream, 0, 400))
    first.commit()
    first.abandon()
    assert disk.remount("ro")
    successor = writer_of(sink_type, path)
    for _ in range(2):
        with pytest.raises(OutputAway):
            successor.open(stream, 0, resume=True, committed=400)
    assert disk.remount("rw")
    assert successor.open(stream, 0, resume=True, committed=400).committed == 400
    successor.append(blocks(stream, 400, 1000))
    successor.close()
    samples(sink_type, path, stream)


def test_a_deleted_file_is_said_and_never_begun_anew(
    begun: tuple[ReopeningWriter, Path, Stream], sink_type: str
) -> None:
    writer, path, stream = begun
    path.unlink()
    (path.parent / "notes.txt").touch()
    there = sorted(file.name for file in path.parent.iterdir())
    with pytest.raises(SinkError, match="deleted or moved") as refused:
        writer.commit()
    assert not isinstance(refused.value, OutputAway)
    assert "dtopipe repair" in refused.value.remedy
    writer.abandon()
    with pytest.raises(SinkError, match="deleted or moved"):
        writer_of(sink_type, path).open(stream, 0, resume=True, committed=400)
    left = sorted(file.name for file in path.parent.iterdir())
    assert [name for name in left if not name.startswith("out-")] == [n for n in there if not n.startswith("out-")]


def test_a_deleted_commit_record_is_said_and_its_output_left_alone(
    begun: tuple[ReopeningWriter, Path, Stream], sink_type: str
) -> None:
    writer, path, stream = begun
    path.with_name("out.dtopipe").unlink()
    with pytest.raises(SinkError, match="deleted or moved"):
        writer.commit()
    writer.abandon()
    before = path.read_bytes()
    with pytest.raises(SinkError, match="deleted or moved"):
        writer_of(sink_type, path).open(stream, 0, resume=True, committed=400)
    assert path.read_bytes() == before


@pytest.mark.parametrize("sink_type", ["hbuf", "csv", "jsonl", "parquet", "hdf5"])
def test_a_file_that_came_back_shorter_is_said_and_not_written_on(
    begun: tuple[ReopeningWriter, Path, Stream], sink_type: str
) -> None:
    writer, path, _ = begun
    back = copied(path.parent)
    with pytest.raises(OutputAway):
        writer.commit()
    short = path.parent.with_name("aside") / "out"
    short.write_bytes(short.read_bytes()[:100])
    back()
    with pytest.raises(SinkError, match="100 bytes") as refused:
        writer.commit()
    assert "dtopipe repair" in refused.value.remedy
    assert path.stat().st_size == 100


def test_an_older_copy_of_the_output_is_not_gone_on_with(sink_type: str, tmp_path: Path) -> None:
    path, stream = tmp_path / "share" / "out", recorded()
    writer = writer_of(sink_type, path)
    writer.open(stream, 0, resume=False)
    for start in (0, 200):
        writer.append(blocks(stream, start, start + 200))
        writer.commit()
        if not start:
            shutil.copytree(path.parent, tmp_path / "older")
    shutil.rmtree(path.parent)
    (tmp_path / "older").rename(path.parent)
    writer.append(blocks(stream, 400, 600))
    with pytest.raises(OutputAway):
        writer.commit()
    with pytest.raises(SinkError, match="200 of the 400") as refused:
        writer.commit()
    assert "dtopipe repair" in refused.value.remedy


def test_gaps_and_readings_that_waited_are_written_again_too(tmp_path: Path) -> None:
    path, stream = tmp_path / "share" / "out.csv", recorded()
    writer = writer_of("csv", path)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 400))
    writer.commit()
    hole = gap(stream, 400, 500)
    writer.append([hole, *blocks(stream, 500, 600)])
    copied(path.parent)()
    with pytest.raises(OutputAway):
        writer.commit()
    position = writer.close()
    assert (position.samples, position.gap_samples, position.committed) == (500, 100, 600)
    assert list(load_reader("csv")(path).gaps()) == [hole]


@pytest.mark.parametrize("sink_type", ["csv", "jsonl", "sqlite", "parquet", "hdf5"])
def test_readings_go_on_in_a_file_that_came_back(sink_type: str, tmp_path: Path) -> None:
    path, stream = tmp_path / "share" / "out", polled()
    writer = writer_of(sink_type, path)
    writer.open(stream, 0, resume=False)
    parts: Sequence[Any] = [readings(stream, at, at + 5) for at in range(0, 20, 5)]
    writer.append(parts[:2])
    writer.commit()
    writer.append(parts[2:])
    copied(path.parent)()
    with pytest.raises(OutputAway):
        writer.commit()
    assert writer.close().samples == 20


def test_a_segment_that_has_no_folder_to_begin_in_is_waited_for(tmp_path: Path) -> None:
    path, stream = tmp_path / "share" / "out.dt-raw", recorded()
    writer = writer_of("hbuf", path, segment=2000, journal=True)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 100))
    writer.commit()
    writer.append(blocks(stream, 100, 900))
    back = moved(path.parent)
    for _ in range(2):
        with pytest.raises(OutputAway, match="any more"):
            writer.commit()
    back()
    assert writer.commit().committed == 900
    writer.append(blocks(stream, 900, 1000))
    assert writer.close().samples == 1000
    assert len(list(path.parent.glob("out.*.dt-raw"))) > 1
    samples("hbuf", path, stream)


def test_a_sink_without_files_is_left_as_it_is(postgres: Any) -> None:
    stream = recorded()
    options = {**postgres.options, "schema": postgres.new_schema()}
    writer = ReopeningWriter(lambda: load_writer("postgres")(OutputOptions(None), **options), None)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 100))
    assert writer.close().samples == 100


@pytest.mark.parametrize("sink_type", ["sqlite", "parquet", "hdf5"])
def test_a_close_that_finds_the_disk_full_waits_and_leaves_one_plain_file(sink_type: str, small_disk: Any) -> None:
    disk = small_disk("8m")
    path, stream = disk.path / "out", recorded()
    writer = writer_of(sink_type, path)
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 1000))
    writer.commit()
    for leaving_bytes in (0, 8192, 40_000):
        ballast = disk.fill(leaving_bytes)
        try:
            writer.close()
        except SinkUnavailable:
            ballast.unlink()
            continue
        assert leaving_bytes, "there was room on a full disk"
        break
    else:
        writer.close()
    assert {file.name for file in disk.path.iterdir()} - {"ballast"} == {"out", "out.dtopipe"}
    samples(sink_type, path, stream)
