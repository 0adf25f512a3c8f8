"""A span of a run as a file, a piece at a time: the values and times that `dtopipe.load` gives."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from dtopipe.loading.run import LoadedRun
from dtopipe.loading.samples import Samples
from dtopipe.model.errors import SinkDependencyError
from dtopipe.sinks.text.delimited import TIME_COLUMNS
from dtopipe.sinks.text.rows import float_texts, iso_times, rising_integers, rows

# As many values are in memory at once, some tens of MB with their texts.
_PIECE_VALUES = 2**18
# Readers of Parquet like groups that are not small.
_GROUP_VALUES = 2**21
FORMATS: Mapping[str, str] = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def chunks_of(kind: str, run: LoadedRun, sink: str, names: Sequence[str], span: tuple[int, int]) -> Iterator[bytes]:
    """The bytes of the file, of one of FORMATS. Raises SinkError, also half way."""
    pieces = (part for piece in run.pieces(names, span, sink=sink) for part in _split(piece))
    return _csv(names, pieces) if kind == "csv" else _parquet(run, sink, names, pieces)


def file_name(run: LoadedRun, sink: str, span: tuple[int, int], kind: str) -> str:
    """`heat-flux_20261122T234100Z_archive_samples-2000-4000.csv`: unlike that of any other span."""
    name = f"{run.path.parent.name}_{run.path.name}_{sink}_samples-{span[0]}-{span[1]}.{kind}"
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)


def _split(samples: Samples) -> Iterator[Samples]:
    length = max(1, _PIECE_VALUES // max(1, len(samples.values)))
    for at in range(0, len(samples), length):
        part = slice(at, at + length)
        yield Samples(
            samples.channels,
            samples.sample_index[part],
            samples.t_mono_ns[part],
            samples.t_utc_ns[part],
            tuple(column[part] for column in samples.values),
        )


def _csv(names: Sequence[str], pieces: Iterator[Samples]) -> Iterator[bytes]:
    """As the sink `csv` writes rows: null is an empty field, a number the shortest that reads back the same."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([*TIME_COLUMNS, *names])
    head = line.getvalue().encode()
    literals = [b"", *[b","] * (len(TIME_COLUMNS) + len(names) - 1), b"\n"]
    for piece in pieces:
        columns = [float_texts(values, prefix=b"", null=b"", finite_only=False) for values in piece.values]
        times = [rising_integers(piece.sample_index), rising_integers(piece.t_mono_ns), iso_times(piece.t_utc_ns)]
        # With the first rows, so that what cannot be read is known before anything was sent.
        yield head + rows(literals, [*times, *columns])
        head = b""
    if head:
        yield head


def _parquet(run: LoadedRun, sink: str, names: Sequence[str], pieces: Iterator[Samples]) -> Iterator[bytes]:
    """As `LoadedRun.table` has it: units in each field's metadata, what the run was in that of the file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SinkDependencyError(None, "Parquet needs pyarrow", 'pip install "dtopipe[parquet]"') from error

    from dtopipe.loading.frames import arrow_table

    about = {
        "run_id": run.run_id,
        "output": sink,
        "rate_hz": run.rate_hz,
        "metadata": run.metadata,
        "verdict": run.verdict.get("state", ""),
    }
    first = next(pieces, None)
    # Of a span without a row there are columns all the same.
    empty = run.table(names, (0, 0), sink=sink) if first is None else arrow_table(first, about)
    written = _Written()
    with pq.ParquetWriter(pa.PythonFile(written, "w"), empty.schema) as writer:
        held: list[Any] = []
        n_held = 0
        for piece in pieces if first is None else chain([first], pieces):
            held.append(arrow_table(piece, about))
            n_held += len(piece) * max(1, len(names))
            if n_held >= _GROUP_VALUES:
                writer.write_table(pa.concat_tables(held))
                held, n_held = [], 0
                yield written.take()
        if held:
            writer.write_table(pa.concat_tables(held))
    yield written.take()


class _Written(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(memoryview(data).cast("B"))

    def take(self) -> bytes:
        """Everything since the last time."""
        held, self._held = bytes(self._held), bytearray()
        return held
