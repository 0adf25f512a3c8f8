"""Blocks, readings and gaps as columns of Postgres tables, and their way there: binary COPY, or INSERT."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import ERROR_MESSAGES, ERROR_TYPES, EngineeringValues
from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, Readings
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.postgres.copy import HEADER, TRAILER, Column, Kind, copied_rows
from dtopipe.sinks.postgres.schema import Tables, column_type, quoted, text
from dtopipe.sinks.rows.block_stats import block_stats
from dtopipe.sinks.rows.neighbours import Joined, joined
from dtopipe.sinks.rows.null_ranges import merged, null_ranges

# Codes in a piece: as rows about a MB, laid out in the cache.
_PIECE_BYTES = 2**17
# Rows go in statements of about this size, so that a slow server is within its time limits.
_STATEMENT_BYTES = 2**24
_READING_KINDS = {
    ColumnKind.INTEGER: Kind.INT8,
    ColumnKind.FLOAT: Kind.FLOAT8,
    ColumnKind.TEXT: Kind.TEXT,
    ColumnKind.TIME: Kind.TIME,
}
_SQL_ARRAYS = {
    Kind.INT8: "bigint[]",
    Kind.INT4: "integer[]",
    Kind.FLOAT8: "double precision[]",
    Kind.TIME: "bigint[]",
    Kind.TEXT: "text[]",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of one table."""

    table: str
    columns: Sequence[Column]
    n_rows: int


class BlockPieces:
    """The blocks of one run as rows: the samples, then the summaries."""

    def __init__(self, run: int, stream: Stream, layout: Layout, tables: Tables) -> None:
        self._run = run
        self._stream = stream
        self._layout = layout
        self._blocks_table = tables.config.table_blocks
        self._engineering = EngineeringValues(stream.channels)
        self._is_integer = [column_type(channel, stream.dtype) == "integer" for channel in stream.channels]

    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[Piece]:
        """The blocks among `items`."""
        summaries: list[tuple[Piece, Piece]] = []
        for batch in joined(items, _PIECE_BYTES):
            samples = batch.samples
            t_mono_ns = samples.t_mono_ns(self._stream.clock)
            t_utc_ns = t_mono_ns + (samples.anchor.t_utc_ns - samples.anchor.t_mono_ns)
            index = samples.sample_index()
            values = self._engineering(samples.codes, samples.sensor_status)
            times = [
                Column("sample_index", Kind.INT8, index),
                Column("t_mono_ns", Kind.INT8, t_mono_ns),
                Column("t_utc", Kind.TIME, t_utc_ns),
            ]
            columns = [self._column(samples, values, number) for number in range(len(values))]
            if self._layout is Layout.WIDE:
                yield self._piece("samples", samples.n_samples, *times, *columns)
            else:
                yield from self._long(batch, times, columns)
            summaries.append(self._summaries(batch, t_mono_ns, t_utc_ns, values))
        for of_blocks, _ in summaries:
            yield of_blocks
        for _, stats in summaries:
            yield stats

    def _piece(self, table: str, n_rows: int, *columns: Column) -> Piece:
        return Piece(table, (Column("run", Kind.INT8, self._run), *columns), n_rows)

    def _column(self, samples: Block, values: NDArray[np.float64], number: int) -> Column:
        name = self._stream.channels[number].name
        status = samples.sensor_status
        nulls = None if status is None else status[number] != 0
        if self._is_integer[number]:
            return Column(name, Kind.INT4, samples.codes[number], nulls)
        if samples.codes.dtype.kind == "f":
            # NaN is null also where the board itself says so.
            nulls = np.isnan(values[number])
        return Column(name, Kind.FLOAT8, values[number], nulls)

    def _long(self, batch: Joined, times: Sequence[Column], columns: Sequence[Column]) -> Iterator[Piece]:
        samples, stream = batch.samples, self._stream
        block_index = np.repeat(batch.block_indices, batch.block_lengths)
        for number, channel in enumerate(stream.channels):
            column = columns[number]
            yield self._piece(
                "samples_long",
                samples.n_samples,
                Column("device", Kind.TEXT, stream.device),
                Column("task", Kind.TEXT, stream.task),
                Column("channel", Kind.TEXT, channel.name),
                Column("block_index", Kind.INT8, block_index),
                *times,
                Column("value", Kind.FLOAT8, column.values, column.nulls),
                Column("unit", Kind.TEXT, channel.unit),
                Column("error_type", Kind.TEXT, _of_status(samples, number, ERROR_TYPES)),
                Column("error_message", Kind.TEXT, _of_status(samples, number, ERROR_MESSAGES)),
            )

    def _summaries(
        self, batch: Joined, t_mono_ns: NDArray[np.int64], t_utc_ns: NDArray[np.int64], values: NDArray[np.float64]
    ) -> tuple[Piece, Piece]:
        starts = batch.block_starts
        n_blocks, n_channels = len(starts), len(values)
        first = batch.samples.first_sample_index + starts * batch.samples.step
        of_blocks = self._piece(
            self._blocks_table,
            n_blocks,
            Column("block_index", Kind.INT8, batch.block_indices),
            Column("first_sample_index", Kind.INT8, first),
            Column("samples_per_channel", Kind.INT8, batch.block_lengths),
            Column("t_mono_ns", Kind.INT8, t_mono_ns[starts]),
            Column("t_utc", Kind.TIME, t_utc_ns[starts]),
            Column("t_utc_ns", Kind.INT8, t_utc_ns[starts]),
        )
        counts, *numbers = (column.ravel() for column in block_stats(values, starts))
        stats = self._piece(
            "block_stats",
            n_blocks * n_channels,
            Column("first_sample_index", Kind.INT8, np.tile(first, n_channels)),
            Column("channel", Kind.INT4, np.repeat(np.arange(n_channels), n_blocks)),
            Column("n_values", Kind.INT8, counts),
            *(
                Column(name, Kind.FLOAT8, column, np.isnan(column))
                for name, column in zip(("min", "max", "mean"), numbers, strict=True)
            ),
        )
        return of_blocks, stats


class ReadingPieces:
    """The readings of one run as rows."""

    def __init__(self, run: int, stream: Stream, tables: Tables) -> None:
        self._run = run
        self._table = tables.config.table_readings
        self._columns = reading_columns(stream.channels)

    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[Piece]:
        """The readings among `items`."""
        for item in items:
            if isinstance(item, Readings) and item.n_samples:
                columns = [
                    _reading_column(column.name, _READING_KINDS[column.kind], values)
                    for column, values in zip(self._columns, item.columns, strict=True)
                ]
                yield Piece(self._table, (Column("run", Kind.INT8, self._run), *columns), item.n_samples)


class GapPieces:
    """The gaps of one run as rows."""

    def __init__(self, run: int) -> None:
        self._run = run

    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[Piece]:
        """The gaps among `items`."""
        gaps = [item for item in items if isinstance(item, Gap)]
        if gaps:
            t_utc_ns = np.array([gap.t_utc_ns for gap in gaps])
            columns = (
                Column("run", Kind.INT8, self._run),
                Column("start", Kind.INT8, np.array([gap.span.start for gap in gaps])),
                Column("stop", Kind.INT8, np.array([gap.span.stop for gap in gaps])),
                Column("cause", Kind.TEXT, [gap.cause.value for gap in gaps]),
                Column("t_utc", Kind.TIME, t_utc_ns),
                Column("t_utc_ns", Kind.INT8, t_utc_ns),
            )
            yield Piece("gaps", columns, len(gaps))


async def has_grown(connection: Any, tables: Tables, run: int, gap: Gap) -> bool:
    """True, and it is in the table, if this is one with the last gap of the run: that is longer then."""
    if gap.cause is not Cause.NOT_TRIGGERED:
        return False
    path = tables.path("gaps")
    grown = await connection.fetchval(
        f"UPDATE {path} SET stop = $1 WHERE run = $2 AND stop = $3 AND cause = $4"
        f" AND start = (SELECT max(start) FROM {path} WHERE run = $2) RETURNING run",
        gap.span.stop, run, gap.span.start, gap.cause.value,
    )  # fmt: skip
    return grown is not None


class NullPieces:
    """Where values of one run are null, as rows."""

    def __init__(self, run: int) -> None:
        self._run = run

    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[Piece]:
        """It takes the blocks among `items`."""
        found = merged(list(null_ranges(items)))
        if found:
            columns = (
                Column("run", Kind.INT8, self._run),
                Column("channel", Kind.INT8, np.array([each.channel for each in found])),
                Column("start", Kind.INT8, np.array([each.span.start for each in found])),
                Column("stop", Kind.INT8, np.array([each.span.stop for each in found])),
                Column("samples", Kind.INT8, np.array([each.samples for each in found])),
                Column("cause", Kind.TEXT, [each.cause for each in found]),
            )
            yield Piece("null_ranges", columns, len(found))


async def copy(connection: Any, tables: Tables, pieces: Iterator[Piece]) -> None:
    """Send the pieces by binary COPY, those of one table that follow on each other together.

    A piece is laid out while the server takes the one before it.
    """
    waiting = next(pieces, None)

    async def rows(first: Piece) -> AsyncIterator[bytes | memoryview]:
        """Those of the table of `first`, up to the size of a statement; `waiting` is then the piece that follows."""
        nonlocal waiting
        yield HEADER
        n_bytes = 0
        while waiting is not None and waiting.table == first.table and n_bytes < _STATEMENT_BYTES:
            laid = copied_rows(waiting.columns, waiting.n_rows)
            n_bytes += len(laid)
            waiting = next(pieces, None)
            yield laid
        yield TRAILER

    while waiting is not None:
        await connection.copy_to_table(
            waiting.table,
            schema_name=tables.config.schema,
            columns=[column.name for column in waiting.columns],
            source=rows(waiting),
            format="binary",
        )


async def insert(connection: Any, tables: Tables, pieces: Iterator[Piece]) -> None:
    """Send the pieces as arrays that the server makes rows of."""
    for piece in pieces:
        names = ", ".join(quoted(column.name) for column in piece.columns)
        arrays = ", ".join(
            f"${number}::{_SQL_ARRAYS[column.kind]}" for number, column in enumerate(piece.columns, start=1)
        )
        chosen = ", ".join(
            f"timestamptz 'epoch' + c{number} * interval '1 microsecond'" if column.kind is Kind.TIME else f"c{number}"
            for number, column in enumerate(piece.columns)
        )
        aliases = ", ".join(f"c{number}" for number in range(len(piece.columns)))
        await connection.execute(
            f"INSERT INTO {tables.path(piece.table)} ({names})"
            f" SELECT {chosen} FROM unnest({arrays}) AS rows_({aliases})",
            *(_listed(column, piece.n_rows) for column in piece.columns),
        )


def _listed(column: Column, n_rows: int) -> list[Any]:
    """The column's values for an array parameter; times in microseconds since 1970."""
    values = column.values
    if column.kind is Kind.TEXT:
        texts = [values] * n_rows if values is None or isinstance(values, str) else values
        return [None if each is None else text(each) for each in texts]
    array = np.broadcast_to(np.asarray(values), (n_rows,))
    found: list[Any] = (array // 1000 if column.kind is Kind.TIME else array).tolist()
    if column.nulls is not None:
        for at in np.flatnonzero(column.nulls).tolist():
            found[at] = None
    return found


def _reading_column(name: str, kind: Kind, values: Sequence[Any]) -> Column:
    if kind is Kind.TEXT:
        return Column(name, kind, values)
    nulls = np.array([value is None for value in values])
    dtype = np.float64 if kind is Kind.FLOAT8 else np.int64
    return Column(name, kind, np.array([0 if value is None else value for value in values], dtype), nulls)


def _of_status(samples: Block, number: int, words: Sequence[str | None]) -> Sequence[str | None] | None:
    """The word for each sample's sensor status; None where all are OK."""
    if samples.sensor_status is None:
        return None
    return [words[at] for at in samples.sensor_status[number].tolist()]
