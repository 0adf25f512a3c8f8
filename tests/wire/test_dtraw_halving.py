"""A span of a long raw file is found by halving it: no sample is passed over, and most of the file is not looked at."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from run_folders import ANCHOR, stream_of

from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_writer
from dtopipe.wire.dtraw import iter_chunk_headers

_LENGTH = 20_000
_N_CHUNKS = 60
_HOLE = Span(30 * _LENGTH, 32 * _LENGTH)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Some megabytes, with a gap, and codes that look like the begin of a chunk."""
    stream = stream_of()
    lookalike = np.zeros(_LENGTH, np.int16)
    lookalike[5000:5008] = np.frombuffer(b'\x10\0\0\0{"seq": 7}  '[:16], np.int16)
    writer = load_writer("hbuf")(OutputOptions(tmp_path / "long.dt-raw"))
    writer.open(stream, 0, resume=False)
    for number in range(_N_CHUNKS):
        at = number * _LENGTH
        if at == _HOLE.start:
            writer.append([Gap(_HOLE, Cause.BOARD_OVERRUN, ANCHOR.t_utc_ns + stream.clock.offset_ns(at))])
        if not _HOLE.start <= at < _HOLE.stop:
            writer.append([Block(number, at, np.stack([lookalike, np.arange(_LENGTH, dtype=np.int16)]), ANCHOR)])
        writer.commit()
    writer.close()
    return tmp_path / "long.dt-raw"


def test_every_sample_is_behind_the_place_that_halving_finds(path: Path) -> None:
    every = list(iter_chunk_headers(path))
    assert path.stat().st_size > 4 * 2**20
    for sample in [1, _HOLE.start - 1, _HOLE.start, _HOLE.stop, _N_CHUNKS * _LENGTH, *range(7, 60 * _LENGTH, 77_777)]:
        found = list(iter_chunk_headers(path, sample))
        assert found == every[len(every) - len(found) :], sample
        passed = every[: len(every) - len(found)]
        assert all(chunk.first_sample_index + chunk.valid_samples <= sample for chunk, _ in passed), sample
    late = list(iter_chunk_headers(path, 55 * _LENGTH))
    assert len(late) < len(every) / 2


def test_a_file_whose_chunks_begin_otherwise_is_read_from_its_beginning(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"seq": ', b'{ "seq":'))
    found = itertools.islice(iter_chunk_headers(path, 50 * _LENGTH), 2)
    assert [chunk.first_sample_index for chunk, _ in found] == [0, _LENGTH]
