"""A damaged SQLite output is read to its end, whatever its pages lead to, and what is wrong with it is a SinkError."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recordings import blocks, recorded

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.sqlite.reader import SqliteReader
from dtopipe.sinks.sqlite.writer import SqliteWriter

N_SAMPLES = 2000
# Of the reader's own steps for a row that cannot be read: more than these would go on for ever.
MOST_WORDS_OF_DAMAGE = 2000


@pytest.fixture(scope="module", params=[Layout.WIDE, Layout.LONG])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with two runs in it, their rows in the same tables."""
    path = tmp_path_factory.mktemp("whole") / "run.db"
    for run, n in (("run-1", N_SAMPLES), ("run-2", 300)):
        stream = replace(recorded(("a", "b", "c")), run_id=run)
        writer = SqliteWriter(OutputOptions(path, request.param, OnExists.APPEND))
        writer.open(stream, 0, resume=False)
        for block in blocks(stream, 0, n, 50):
            writer.append([block])
        writer.close()
    return path.read_bytes()


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """Bytes anywhere, headers of pages, pages in other pages' places, or pieces of nothing sensible."""
    found = bytearray(data)
    page = int.from_bytes(data[16:18], "big")
    kind = chance.randrange(4)
    for _ in range(chance.choice([1, 2, 5, 20, 100])):
        at = chance.randrange(100, len(found))
        if kind == 0:
            found[at] = chance.randrange(256)
        elif kind == 1:
            found[min(at // page * page + chance.randrange(30), len(found) - 1)] = chance.randrange(256)
        elif kind == 2:
            to, of = (chance.randrange(1, len(found) // page) * page for _ in range(2))
            found[to : to + page] = found[of : of + page]
        else:
            stop = min(len(found), at + chance.randrange(1, 64))
            found[at:stop] = chance.randbytes(stop - at)
    return bytes(found)


def read_all(path: Path) -> np.ndarray:
    """Every sample index that it gives; all that it says besides is asked for, too."""
    damage: list[str] = []

    def on_damage(what: str) -> None:
        damage.append(what)
        assert len(damage) < MOST_WORDS_OF_DAMAGE

    index = [np.empty(0, np.int64)]
    with contextlib.suppress(SinkError):
        reader = SqliteReader(path, run_id="run-1")
        for ask in (reader.position, reader.gaps, reader.nulls, reader.words, reader.channels):
            with contextlib.suppress(SinkError):
                ask()
        with contextlib.suppress(SinkError):
            list(reader.block_rows())
        index += [rows.sample_index for rows in reader.sound_batches(on_damage) if rows.channel in (None, 0)]
    return np.concatenate(index)


@pytest.mark.parametrize("seed", range(3))
def test_every_damaged_database_is_read_to_its_end(database: bytes, tmp_path: Path, seed: int) -> None:
    for number in range(20):
        path = tmp_path / "run.db"
        path.write_bytes(spoilt(database, random.Random(f"{seed}/{number}")))
        # No row is given twice, however often its page is led to.
        assert len(read_all(path)) <= N_SAMPLES + 300


@pytest.mark.parametrize("seed", [155, 1933])
def test_pages_that_lead_to_each_other_again_and_again_are_read_once(
    database: bytes, tmp_path: Path, seed: int
) -> None:
    """Every second page of the rows is the copy of another one."""
    chance = random.Random(seed)
    found = bytearray(database)
    page = int.from_bytes(database[16:18], "big")
    leaves = [at for at in range(0, len(found), page) if found[at] == 13]
    for to in leaves[::2]:
        of = chance.choice(leaves)
        found[to : to + page] = found[of : of + page]
    path = tmp_path / "run.db"
    path.write_bytes(found)
    assert len(read_all(path)) <= N_SAMPLES + 300
