"""Counts which samples are in an output, with other readers than ours, and holds each against the board's formula.

A row counts if it is whole and every value in it is the formula's, wherever in the file it is: behind damage too.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")
# magic, flags, blocks, samples per channel, index of the first; the anchor.
_TAIL_FRAME = struct.Struct("<4sIQQqqqq")
_TAIL_BLOCK_BYTES = 16
_WITH_STATUS = 1
_CHECKED = 2
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Channel:
    """One of the board, by its number; `raw` codes, or volts over `limits`."""

    name: str
    number: int
    limits: tuple[float, float] | None = None

    def values(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """What the counter gives for these samples."""
        codes = ((index * (2 * self.number + 1) + 257 * self.number) % 65536 - 32768).astype(np.float64)
        if self.limits is None:
            return codes
        low, high = self.limits
        scale = (high - low) / 65536
        return codes * scale + (low + 32768 * scale)


@dataclass(frozen=True, slots=True)
class Found:
    """What is in an output. `index`: the samples whose row is right, each once, in order."""

    index: NDArray[np.int64]
    wrong: int = 0
    doubled: int = 0

    def since(self, first: int) -> int:
        """How many from this sample on."""
        return int((self.index >= first).sum())

    def lacking(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those that are not there."""
        return np.setdiff1d(wanted, self.index, assume_unique=True)


def together(parts: Iterable[Found]) -> Found:
    """What is in all parts of an output."""
    found = [Found(np.zeros(0, np.int64)), *parts]
    index = np.concatenate([part.index for part in found])
    once = np.unique(index)
    doubled = len(index) - len(once) + sum(part.doubled for part in found)
    return Found(once, sum(part.wrong for part in found), doubled)


def recounted(path: Path, channels: Sequence[Channel], *, polled: bool = False) -> Found:
    """What is in the file output at `path`; in no file is nothing."""
    rows: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]]
    if path.suffix == ".dt-raw":
        return _held(_raw(path, len(channels)), [Channel(channel.name, channel.number) for channel in channels])
    if path.suffix == ".csv":
        rows = _csv(path, channels)
    elif path.suffix == ".jsonl":
        rows = _jsonl(path, channels)
    elif path.suffix == ".db":
        rows = _sqlite(path, channels, "readings" if polled else "samples")
    else:
        in_file = _hdf5 if path.suffix == ".h5" else _parquet
        found = _held(in_file(path, channels), channels)
        tail = path.with_name(path.name + ".tail")
        if polled or not tail.exists():
            return found
        raw = _held(_tail(tail, len(channels)), [Channel(channel.name, channel.number) for channel in channels])
        return Found(np.union1d(found.index, raw.index), found.wrong, found.doubled)
    return _held(rows, channels)


def recounted_server(dsn: str, schema: str, channels: Sequence[Channel], table: str = "samples") -> Found:
    """The same of a PostgreSQL schema that one run has."""

    async def rows() -> list[Any]:
        import asyncpg

        connection = await asyncpg.connect(dsn)
        try:
            names = ", ".join(f'"{channel.name}"' for channel in channels)
            with contextlib.suppress(asyncpg.UndefinedTableError):
                found: list[Any] = await connection.fetch(f'SELECT sample_index, {names} FROM "{schema}"."{table}"')
                return found
            return []
        finally:
            await connection.close()

    return _held(
        _gathered([(int(row[0]), [float(value) for value in row[1:]]) for row in asyncio.run(rows())]), channels
    )


def _held(pieces: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]], channels: Sequence[Channel]) -> Found:
    """`pieces`: sample indices, and their values (n_channels, n)."""
    right, wrong = [np.zeros(0, np.int64)], 0
    for index, values in pieces:
        is_right = np.ones(len(index), bool)
        for channel, column in zip(channels, values, strict=True):
            is_right &= column == channel.values(index)
        right.append(index[is_right])
        wrong += int((~is_right).sum())
    together = np.concatenate(right)
    once = np.unique(together)
    return Found(once, wrong, len(together) - len(once))


def _gathered(rows: Sequence[tuple[int, Sequence[float]]]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    if rows:
        yield np.array([index for index, _ in rows], np.int64), np.array([values for _, values in rows], np.float64).T


def _whole_lines(path: Path) -> list[str]:
    """Those that end, and have no zeros of a sector that never came to the disk."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [line.decode("utf-8", errors="replace") for line in lines if b"\0" not in line]


def _csv(path: Path, channels: Sequence[Channel]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    rows: list[tuple[int, Sequence[float]]] = []
    names: list[str] = []
    lines = _whole_lines(path)
    # A spreadsheet's: semicolons, decimal commas, and units in the titles.
    is_excel = any(line.count(";") > 1 for line in lines[:2])
    for row in csv.reader(io.StringIO("\n".join(lines).removeprefix("\ufeff")), delimiter=";" if is_excel else ","):
        if is_excel:
            row = [cell.partition(" [")[0].replace(",", ".") for cell in row]
        if "sample_index" in row:
            names = row
        elif not names or len(row) == len(names):
            # Without its first line only the order of the layout is known.
            places = [names.index(channel.name) for channel in channels] if names else range(-len(channels), 0)
            with contextlib.suppress(ValueError, IndexError):
                rows.append((int(row[names.index("sample_index") if names else 0]), [float(row[at]) for at in places]))
    return _gathered(rows)


def _jsonl(path: Path, channels: Sequence[Channel]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    rows: list[tuple[int, Sequence[float]]] = []
    for line in _whole_lines(path):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            document = json.loads(line)
            rows.append((int(document["sample_index"]), [float(document[channel.name]) for channel in channels]))
    return _gathered(rows)


def _sqlite(
    path: Path, channels: Sequence[Channel], table: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    rows: list[tuple[int, Sequence[float]]] = []
    with opened_copy(path) as base:
        if base is not None:
            names = ", ".join(f'"{channel.name}"' for channel in channels)
            # As far as it can be read.
            with contextlib.suppress(sqlite3.Error, TypeError):
                for index, *values in base.execute(f"SELECT sample_index, {names} FROM {table}"):
                    rows.append((index, [float(value) for value in values]))
    return _gathered(rows)


@contextlib.contextmanager
def opened_copy(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A SQLite file with what is beside it, copied: opening may change it. None where there is none."""
    if not path.exists() or not path.stat().st_size:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dtp-cut-") as folder:
        for ending in ("", "-wal", "-journal"):
            beside = path.with_name(path.name + ending)
            if beside.exists():
                shutil.copyfile(beside, Path(folder) / beside.name)
        with contextlib.closing(sqlite3.connect(Path(folder) / path.name)) as base:
            yield base


def _parquet(path: Path, channels: Sequence[Channel]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    import pyarrow
    import pyarrow.parquet as pq

    if not path.exists():
        return
    with contextlib.suppress(pyarrow.ArrowException, OSError), pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            columns = [table[channel.name].to_numpy().astype(np.float64) for channel in channels]
            yield table["sample_index"].to_numpy().astype(np.int64), np.array(columns)


def _hdf5(path: Path, channels: Sequence[Channel]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """By the library of HDF5 alone, which finds no more than a program of somebody's does."""
    import h5py

    if not path.exists():
        return
    with contextlib.suppress(OSError, KeyError, RuntimeError), h5py.File(path) as file:
        index = file["sample_index"]
        for start in range(0, len(index), index.chunks[0]):
            part = slice(start, start + index.chunks[0])
            if "channels" in file:
                codes = [file[f"channels/{channel.name}"] for channel in channels]
                columns = [rows[part] * rows.attrs["scale"] + rows.attrs["offset"] for rows in codes]
            else:
                columns = [file[channel.name][part] for channel in channels]
            yield index[part], np.array(columns)


def _tail(path: Path, n_channels: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """What a Parquet or HDF5 output keeps aside until its group is full: PROTOCOL.md."""
    data = path.read_bytes()
    at = 0
    while at + _TAIL_FRAME.size <= len(data):
        magic, flags, n_blocks, n_samples, first, *_ = _TAIL_FRAME.unpack_from(data, at)
        codes_at = at + _TAIL_FRAME.size + n_blocks * _TAIL_BLOCK_BYTES
        end = codes_at + n_channels * n_samples * (3 if flags & _WITH_STATUS else 2)
        body_end = end
        end += _CHECKSUM_BYTES if flags & _CHECKED else 0
        if magic != b"DTTL" or end > len(data):
            return
        if flags & _CHECKED and zlib.crc32(data[at:body_end]).to_bytes(4, "little") != data[body_end:end]:
            # Whose bytes are another frame's in part: its times and blocks are not to be trusted.
            at = end
            continue
        codes = np.frombuffer(data, "<i2", n_channels * n_samples, codes_at).reshape(n_channels, n_samples)
        yield np.arange(first, first + n_samples), codes.astype(np.float64)
        at = end


def _raw(path: Path, n_channels: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Whole chunks of a raw file, or of its segments."""
    for file in sorted([path, *path.parent.glob(f"{path.stem}.[0-9]*{path.suffix}")]):
        if file.exists():
            yield from _chunks(file.read_bytes(), n_channels)


def _chunks(data: bytes, n_channels: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    at = 0
    while at + _LENGTH.size <= len(data):
        header, payload_at = _document(data, at)
        if header is None:
            # The next one, behind damage.
            found = data.find(b'{"', at + _LENGTH.size + 1)
            if found < 0:
                return
            at = found - _LENGTH.size
            continue
        at = payload_at
        if "valid_samples" in header:
            n = header["valid_samples"]
            end = payload_at + 2 * n * n_channels
            if end > len(data):
                return
            if n:
                codes = np.frombuffer(data, "<i2", n * n_channels, payload_at).reshape(n_channels, n)
                first = header["first_sample_index"]
                index = np.arange(first, first + n)
                # A chunk that is damaged is none of the file's samples: readers go by its checksum.
                wanted = [Channel("", number).values(index) for number in range(n_channels)]
                if np.array_equal(codes, wanted):
                    yield index, codes.astype(np.float64)
            at = end


def _document(data: bytes, at: int) -> tuple[dict[str, Any] | None, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    end = at + _LENGTH.size + length
    if length < 2 or end > len(data):
        return None, at
    try:
        document = json.loads(data[at + _LENGTH.size : end])
    except ValueError:
        return None, at
    return (document, end) if isinstance(document, dict) else (None, at)
