"""The fastest plain use of each format's usual library: what `bench_sinks.py` measures our sinks against.

Every peer is given the engineering values ready made, where our sinks are given the board's codes; the times of the
samples are for it to make, as they are for ours. Nothing of it survives a kill in the middle, and it need not.
"""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

PERIOD_NS = 100_000
T_MONO_NS = 5_000_000_123
T_UTC_NS = 1_763_900_000_000_000_456
_TIMES = ("sample_index", "t_mono_ns", "t_utc_ns")


@dataclass(frozen=True)
class Given:
    """Some blocks in a row, for a peer.

    `values`: (n_channels, n) float64 of all of them; `codes`: what the board gave, an array a block.
    """

    start: int
    values: np.ndarray
    codes: list[np.ndarray]

    @property
    def index(self) -> np.ndarray:
        """(n,) int64."""
        return np.arange(self.start, self.start + self.values.shape[1])

    @property
    def t_mono_ns(self) -> np.ndarray:
        """(n,) int64."""
        return self.index * PERIOD_NS + T_MONO_NS

    @property
    def t_utc_ns(self) -> np.ndarray:
        """(n,) int64."""
        return self.index * PERIOD_NS + T_UTC_NS


class Peer(ABC):
    """One plain writer. `name` says which library, and how it is used."""

    name: str

    def __init__(self, path: Path, channels: list[str]) -> None:
        self.path = path
        self.channels = channels

    @abstractmethod
    def append(self, given: Given) -> None:
        """Take some blocks."""

    @abstractmethod
    def commit(self) -> None:
        """As often as ours; hands what there is to the system."""

    @abstractmethod
    def close(self) -> None:
        """Complete the output."""


class PlainFile(Peer):
    """A bare `write()` of the codes, unbuffered."""

    name = "write()"

    def __init__(self, path: Path, channels: list[str]) -> None:
        super().__init__(path, channels)
        self._file: BinaryIO = path.open("wb", buffering=0)

    def append(self, given: Given) -> None:
        """A write a block."""
        for codes in given.codes:
            self._file.write(codes.data)

    def commit(self) -> None:
        """Every write was one."""

    def close(self) -> None:
        """Close it."""
        self._file.close()


def _table(given: Given, channels: list[str]) -> Any:
    import pyarrow as pa

    times = [
        pa.array(given.index),
        pa.array(given.t_mono_ns),
        pa.array(given.t_utc_ns, pa.timestamp("ns", "UTC")),
    ]
    return pa.Table.from_arrays(
        [*times, *map(pa.array, given.values)], ["sample_index", "t_mono_ns", "t_utc", *channels]
    )


class PlainCsv(Peer):
    """pyarrow.csv, a table an append."""

    name = "pyarrow.csv"

    def __init__(self, path: Path, channels: list[str]) -> None:
        super().__init__(path, channels)
        self._file: BinaryIO = path.open("wb")
        self._writer: Any = None

    def append(self, given: Given) -> None:
        """Write the rows."""
        from pyarrow import csv

        table = _table(given, self.channels)
        if self._writer is None:
            self._writer = csv.CSVWriter(self._file, table.schema)
        self._writer.write_table(table)

    def commit(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    def close(self) -> None:
        """Close it."""
        if self._writer is not None:
            self._writer.close()
        self._file.close()


class PlainParquet(Peer):
    """`write_table` with its defaults, a million rows at a time, which is its row group."""

    name = "write_table"
    _ROWS = 2**20

    def __init__(self, path: Path, channels: list[str]) -> None:
        super().__init__(path, channels)
        self._held: list[Any] = []
        self._writer: Any = None

    def append(self, given: Given) -> None:
        """Keep the rows until they are a row group."""
        self._held.append(_table(given, self.channels))
        if sum(table.num_rows for table in self._held) >= self._ROWS:
            self._write()

    def commit(self) -> None:
        """Nothing: a smaller row group would cost it speed."""

    def _write(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held = []
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self.path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """The last row group, and the footer."""
        self._write()
        if self._writer is not None:
            self._writer.close()


class PlainHdf5(Peer):
    """h5py's own: the same datasets, chunks, filters and checksums as ours, grown and flushed at each commit."""

    name = "h5py, same chunks"
    _CHUNK_ROWS = 2**15

    def __init__(self, path: Path, channels: list[str]) -> None:
        super().__init__(path, channels)
        self._file: Any = None
        self._held: list[Given] = []
        self._n_rows = 0

    def append(self, given: Given) -> None:
        """Keep them: each write costs it, however little it is."""
        self._held.append(given)

    def commit(self) -> None:
        """What is kept, at once."""
        if not self._held:
            return
        if self._file is None:
            self._begin(self._held[0].codes[0].dtype)
        of_each = [(each.index, each.t_mono_ns, each.t_utc_ns) for each in self._held]
        times = [np.concatenate(parts) for parts in zip(*of_each, strict=True)]
        codes = np.concatenate([block for each in self._held for block in each.codes], axis=1)
        start, self._n_rows = self._n_rows, self._n_rows + len(times[0])
        for name, column in zip((*_TIMES, *self.channels), (*times, *codes), strict=True):
            dataset = self._file[name]
            dataset.resize((self._n_rows,))
            dataset[start:] = column
        self._held = []
        self._file.flush()

    def _begin(self, dtype: Any) -> None:
        import h5py

        self._file = h5py.File(self.path, "w")
        for name in (*_TIMES, *self.channels):
            self._file.create_dataset(
                name, (0,), "i8" if name in _TIMES else dtype, chunks=(self._CHUNK_ROWS,), maxshape=(None,),
                shuffle=True, compression="gzip", compression_opts=1, fletcher32=True,
            )  # fmt: skip

    def close(self) -> None:
        """The file."""
        self._file.close()


class PlainSqlite(Peer):
    """`executemany` of tuples, one transaction a commit."""

    name = "executemany"

    def __init__(self, path: Path, channels: list[str]) -> None:
        super().__init__(path, channels)
        self._connection = sqlite3.connect(path, isolation_level=None)
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        columns = ", ".join(f'"{channel}" REAL' for channel in channels)
        execute(
            "CREATE TABLE samples (run INTEGER NOT NULL, sample_index INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL,"
            f" t_utc_ns INTEGER NOT NULL, {columns})"
        )
        self._insert = f"INSERT INTO samples VALUES (1, {', '.join('?' * (3 + len(channels)))})"

    def append(self, given: Given) -> None:
        """Insert the rows."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
        columns = (given.index, given.t_mono_ns, given.t_utc_ns, *given.values)
        self._connection.executemany(self._insert, zip(*(column.tolist() for column in columns), strict=True))

    def commit(self) -> None:
        """End the transaction."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Write the log back, as ours does."""
        self.commit()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


class PlainJsonl(Peer):
    """`orjson.dumps` row by row."""

    name = "orjson"

    def __init__(self, path: Path, channels: list[str]) -> None:
        super().__init__(path, channels)
        self._file: BinaryIO = path.open("wb")

    def append(self, given: Given) -> None:
        """A line a row."""
        import orjson

        names = ["sample_index", "t_mono_ns", "t_utc", *self.channels]
        t_utc = np.datetime_as_string(given.t_utc_ns.astype("datetime64[ns]"), timezone="UTC")
        columns = (given.index, given.t_mono_ns, t_utc, *given.values)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        dumps, newline = orjson.dumps, orjson.OPT_APPEND_NEWLINE
        self._file.write(b"".join([dumps(dict(zip(names, row, strict=True)), None, newline) for row in rows]))

    def commit(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    def close(self) -> None:
        """Close it."""
        self._file.close()


class PlainPostgres(Peer):
    """asyncpg's `copy_records_to_table`, one transaction a commit."""

    name = "copy_records_to_table"

    def __init__(self, path: Path, channels: list[str], dsn: str = "") -> None:
        super().__init__(path, channels)
        self._loop = asyncio.new_event_loop()
        self._columns = ["run", "sample_index", "t_mono_ns", "t_utc", *channels]
        self._given: list[Given] = []
        self._loop.run_until_complete(self._open(dsn))

    async def _open(self, dsn: str) -> None:
        import asyncpg

        self._connection = await asyncpg.connect(dsn)
        await self._connection.execute("DROP TABLE IF EXISTS plain_samples")
        columns = ", ".join(f'"{channel}" double precision' for channel in self.channels)
        await self._connection.execute(
            "CREATE TABLE plain_samples (run bigint NOT NULL, sample_index bigint NOT NULL, t_mono_ns bigint NOT NULL,"
            f" t_utc timestamptz NOT NULL, {columns});"
            "CREATE INDEX ON plain_samples USING brin (run, sample_index)"
        )
        self._transaction: Any = None

    def append(self, given: Given) -> None:
        """Copy the rows."""
        self._loop.run_until_complete(self._copy(given))

    async def _copy(self, given: Given) -> None:
        if self._transaction is None:
            self._transaction = self._connection.transaction()
            await self._transaction.start()
        moments = [datetime.fromtimestamp(t / 1e9, UTC) for t in given.t_utc_ns.tolist()]
        columns = (given.index.tolist(), given.t_mono_ns.tolist(), moments, *(row.tolist() for row in given.values))
        records = zip([1] * len(moments), *columns, strict=True)
        await self._connection.copy_records_to_table("plain_samples", records=records, columns=self._columns)

    def commit(self) -> None:
        """End the transaction."""
        if self._transaction is not None:
            self._loop.run_until_complete(self._transaction.commit())
            self._transaction = None

    def close(self) -> None:
        """Commit, and give the table up."""
        self.commit()
        self._loop.run_until_complete(self._connection.execute("DROP TABLE plain_samples"))
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


PEERS: dict[str, type[Peer]] = {
    "csv": PlainCsv,
    "jsonl": PlainJsonl,
    "parquet": PlainParquet,
    "hdf5": PlainHdf5,
    "sqlite": PlainSqlite,
    "postgres": PlainPostgres,
    "hbuf": PlainFile,
}
