"""Where a file may grow no further (FAT, a quota of one file, `ulimit -f`), and outputs that are links."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings import block, blocks, recorded

from dtopipe.model.errors import FileTooLarge, SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.sinks.registry import load_reader, load_writer
from dtopipe.verify.raw_source import RawSource

FILES = ["csv", "jsonl", "sqlite", "parquet", "hdf5", "hbuf"]


@contextlib.contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("options", [{}, {"segment": 4096}])
def test_what_is_too_much_for_one_segment_goes_into_several(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "archive.dt-raw"
    items = blocks(recorded(), 0, 6000)
    n_bytes = 6000
    writer = HbufWriter(OutputOptions(path), **options)
    with files_of_at_most(n_bytes):
        writer.open(recorded(), 0, resume=False)
        writer.append(items)
        position = writer.close()
    assert position.committed == position.samples == items[-1].span.stop
    files = sorted(tmp_path.glob("archive*.dt-raw"))
    assert len(files) > 2
    assert max(file.stat().st_size for file in files) <= n_bytes
    read = [index for batch in load_reader("hbuf")(path).batches() for index in batch.sample_index.tolist()]
    assert read == [*range(items[-1].span.stop)]


def test_the_part_that_is_in_an_output_already_is_not_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "archive.dt-raw"
    writer = HbufWriter(OutputOptions(path))
    # One of them is too large for any segment.
    items = [*blocks(recorded(), 0, 600), block(recorded(), 600, 10_600)]
    with files_of_at_most(8000), pytest.raises(FileTooLarge):
        writer.open(recorded(), 0, resume=False)
        writer.append(items)
    writer.append(items)
    assert writer.close().samples == items[-1].span.stop
    assert [item.span for item in RawSource(path).items()] == [item.span for item in items]


@pytest.mark.parametrize("kind", FILES)
def test_the_way_out_stands_in_the_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "output"
    options = {"busy_timeout_ms": 100} if kind == "sqlite" else {}
    writer = load_writer(kind)(OutputOptions(path), **options)
    items = blocks(recorded(), 0, 40000)
    with files_of_at_most(6000 if kind != "hbuf" else 600), pytest.raises(FileTooLarge) as caught:
        writer.open(recorded(), 0, resume=False)
        for at in range(0, len(items), 20):
            writer.append(items[at : at + 20])
            writer.commit()
    with contextlib.suppress(SinkError):
        writer.abandon()
    assert "ulimit -f" in str(caught.value)
    assert "choose another place" in str(caught.value)


@pytest.mark.parametrize("on_exists", [OnExists.OVERWRITE, OnExists.RENAME])
@pytest.mark.parametrize("kind", FILES)
def test_a_link_is_neither_replaced_nor_moved(tmp_path: Path, kind: str, on_exists: OnExists) -> None:
    there, link = tmp_path / "there.data", tmp_path / "link.data"
    there.write_text("a file of mine")
    link.symlink_to(there)
    writer = load_writer(kind)(OutputOptions(link, Layout.WIDE, on_exists))
    with pytest.raises(SinkError, match="is a link to"):
        writer.open(recorded(), 0, resume=False)
    writer.abandon()
    assert link.is_symlink()
    assert there.read_text() == "a file of mine"
    assert not list(tmp_path.glob("*.1.data"))


@pytest.mark.parametrize("kind", FILES)
def test_what_a_link_leads_to_is_written_through_it(tmp_path: Path, kind: str) -> None:
    there, link = tmp_path / "there.data", tmp_path / "link.data"
    link.symlink_to(there)
    items = blocks(recorded(), 0, 300)
    writer = load_writer(kind)(OutputOptions(link))
    writer.open(recorded(), 0, resume=False)
    writer.append(items)
    writer.close()
    assert link.is_symlink()
    assert load_reader(kind)(link).position().samples == items[-1].span.stop
    assert there.stat().st_size


@pytest.mark.parametrize("has_more", [True, False])
@pytest.mark.parametrize("kind", FILES)
def test_what_was_cut_behind_the_last_commit_is_not_closed_as_if_it_were_whole(
    tmp_path: Path, kind: str, has_more: bool
) -> None:
    path = tmp_path / "output"
    options = {"parquet": {"row_group_size": 100}, "hdf5": {"chunk_rows": 25}}.get(kind, {})
    writer = load_writer(kind)(OutputOptions(path), **options)
    writer.open(recorded(), 0, resume=False)
    items = blocks(recorded(), 0, 60_000)
    for at in range(0, 500, 50):
        writer.append(items[at : at + 50])
        writer.commit()
    assert path.stat().st_size
    # As logrotate's copytruncate does.
    os.truncate(path, 0)
    with pytest.raises(SinkError, match="it has 0 bytes of the"):
        if has_more:
            writer.append(items[500:])
        writer.close()
    assert path.stat().st_size == 0
    writer.abandon()
