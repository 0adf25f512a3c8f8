"""What the sinks that append to one file promise about that file, wherever a writer was stopped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import block, blocks, recorded

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.commit_record import CommitRecord
from dtopipe.sinks.file.writer import FileWriter, Gathered
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.sinks.registry import load_reader
from dtopipe.sinks.text.csv import CsvWriter
from dtopipe.sinks.text.jsonl import JsonlWriter

TYPES = [CsvWriter, HbufWriter, JsonlWriter]
DELIMITED = [CsvWriter, JsonlWriter]


def indices(writer: FileWriter) -> list[int]:
    """The sample indices that are in the output."""
    reader: Any = load_reader(writer.sink_type)(writer.path)
    return [index for batch in reader.batches() for index in batch.sample_index.tolist()]


@pytest.mark.parametrize("kind", TYPES)
def test_who_was_killed_before_the_first_byte_has_a_successor_that_begins(
    kind: type[FileWriter], tmp_path: Path
) -> None:
    stream = recorded()
    whole = kind(OutputOptions(tmp_path / "whole"))
    whole.open(stream, 0, resume=False)
    whole.append(blocks(stream, 0, 100))
    whole.close()

    path = tmp_path / "out"
    path.touch()
    for record in ("not made yet", "begun"):
        if record == "begun":
            CommitRecord.begin(path, stream, kind.sink_type, 0, 0).release()
            path.write_bytes(whole.header(stream)[:5])
        writer = kind(OutputOptions(path))
        writer.open(stream, 0, resume=True)
        writer.append(blocks(stream, 0, 100))
        if record == "begun":
            writer.close()
            assert path.read_bytes() == (tmp_path / "whole").read_bytes()
        writer.abandon()


class Interrupted(Exception):
    """Stands for whatever ends an append half-way."""


@pytest.mark.parametrize("kind", TYPES)
def test_what_could_not_be_written_whole_is_taken_back_and_may_be_appended_again(
    kind: type[FileWriter], tmp_path: Path
) -> None:
    class Failing(kind):  # type: ignore[valid-type, misc]
        """Fails once, when most is in the file."""

        fails = False

        def encoded(self, items: Sequence[Block | Gap]) -> Iterable[bytes | Gathered]:
            parts: Iterable[bytes | Gathered] = super().encoded(items)
            if self.fails:
                whole = b"".join(b"".join(part.pieces) if isinstance(part, Gathered) else part for part in parts)
                self._write([whole[:-3]], len(whole) - 3)
                raise Interrupted
            return parts

    stream = recorded()
    writer = Failing(OutputOptions(tmp_path / "out"))
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 300))
    writer.fails = True
    with pytest.raises(Interrupted):
        writer.append(blocks(stream, 300, 500))
    writer.fails = False
    assert writer.commit().committed == 300
    writer.append(blocks(stream, 300, 500))
    assert writer.close().samples == 500
    assert indices(writer) == list(range(500))


@pytest.mark.skipif(not hasattr(os, "writev"), reason="pieces are joined here")
def test_a_write_that_the_system_cuts_short_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda fd, pieces: os.write(fd, b"".join(pieces)[:1001]))
    stream = recorded()
    writer = HbufWriter(OutputOptions(tmp_path / "out"))
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 1000))
    assert writer.close().samples == 1000
    assert indices(writer) == list(range(1000))


def test_chunks_are_numbered_through_whatever_was_taken_back(tmp_path: Path) -> None:
    from dtopipe.wire.dtraw import iter_chunks

    stream = recorded()
    path = tmp_path / "out"
    writer = HbufWriter(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 300))
    spoilt = replace(block(stream, 400, 500), codes=None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        writer.append([block(stream, 300, 400), spoilt])
    writer.append(blocks(stream, 300, 500))
    writer.commit()
    writer.append(blocks(stream, 500, 600))
    writer.abandon()
    writer = HbufWriter(OutputOptions(path))
    writer.open(stream, 0, resume=True)
    writer.append(blocks(stream, 500, 800))
    writer.close()
    assert [chunk.seq for chunk, _ in iter_chunks(path)] == list(range(8))


@pytest.mark.parametrize("kind", DELIMITED)
@pytest.mark.parametrize(
    ("there", "why"),
    [
        ("a file of other channels", "other columns"),
        ("a file of the other layout", "other columns"),
        ("notes", "other columns"),
        ("a cut line", "cut"),
    ],
)
def test_rows_follow_only_whole_rows_of_the_same_columns(
    kind: type[FileWriter], there: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    names = ("x", "y") if there == "a file of other channels" else ("flux", "tc1")
    layout = Layout.LONG if there == "a file of the other layout" else Layout.WIDE
    if there == "notes":
        path.write_bytes(b"notes of the user\n")
    else:
        first = kind(OutputOptions(path, layout))
        stream = recorded(names)
        first.open(stream, 0, resume=False)
        first.append(blocks(stream, 0, 30))
        first.close()
        if there == "a cut line":
            os.truncate(path, path.stat().st_size - 3)
    before = path.read_bytes()
    writer = kind(OutputOptions(path, on_exists=OnExists.APPEND))
    with pytest.raises(SinkError, match=why) as refused:
        writer.open(recorded(run_id="run-2"), 0, resume=False)
    assert "rename" in refused.value.remedy
    assert path.read_bytes() == before


def test_an_output_and_its_record_are_renamed_together_whoever_is_killed_in_between(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    stream = recorded()
    first = CsvWriter(OutputOptions(path))
    first.open(stream, 0, resume=False)
    first.append(blocks(stream, 0, 30))
    first.close()
    # As a kill between the two renames leaves it.
    (tmp_path / "out.csv.dtopipe").rename(tmp_path / "out.1.csv.dtopipe")
    second = CsvWriter(OutputOptions(path, on_exists=OnExists.RENAME))
    second.open(recorded(run_id="run-2"), 0, resume=False)
    second.close()
    reader: Any = load_reader("csv")(tmp_path / "out.1.csv", run_id="run-1")
    assert reader.position().samples == 30
    assert np.concatenate([batch.sample_index for batch in reader.batches()]).tolist() == list(range(30))
