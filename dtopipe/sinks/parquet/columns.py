"""The columns of a Parquet output: types, encodings, and their values out of a tail, one column at a time.

A column at a time is what lets a row group of a million rows be made in about a hundred MB, whatever the number of
channels: each is encoded by pyarrow as a small file of its own, whose chunk is then spliced into the output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import ERROR_MESSAGES, ERROR_TYPES, engineering_values
from dtopipe.model.errors import SinkError
from dtopipe.model.facts import strict_json
from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ReadingColumn
from dtopipe.model.stream import Channel, SensorStatus, Stream
from dtopipe.sinks.grouped.codes import TailPart
from dtopipe.sinks.parquet.arrays import Array, arrow_array, numbers_of, repeated_text, text_array
from dtopipe.sinks.parquet.footer import ColumnPart, Struct, column_parts, read_footer
from dtopipe.sinks.parquet.pyarrow_extra import pa, pq
from dtopipe.sinks.parquet.readings import ARROW_TYPES

# Measured on counters, sines and noise: a third of the time of a hash dictionary, and times nearly vanish.
_OF_VALUES, _OF_TIMES = "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"
# So many values of a column are looked at. Dictionaries pay up to so many different ones: a quarter smaller, at four
# fifths of the speed.
_LOOKED_AT, _FEW = 2**12, 2**7
# From this part of different ones on, zstd finds nothing by searching longer: the same size in two thirds of the time.
_ALL_DIFFERENT, _SHORT_SEARCH = 0.99, -1
_ENCODINGS = ("newer", "plain")
_CODECS = ("zstd", "snappy", "gzip", "brotli", "lz4", "none")
_T_UTC = pa.timestamp("ns", "UTC")

# pyarrow has no types for a type checker.
Field: TypeAlias = Any
Schema: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Encoding:
    """How columns are encoded. `use_dictionary`: for values of which few are different.

    `is_plain`: without the encodings of Parquet 2, which some readers lack; the file is larger.
    """

    compression: str
    use_dictionary: bool
    is_plain: bool = False

    @classmethod
    def checked(cls, path: Path, compression: str, use_dictionary: bool, encoding: str = "newer") -> Encoding:
        """These, if this pyarrow has the codec. Raises SinkError."""
        if encoding not in _ENCODINGS:
            raise SinkError(path, f"encoding cannot be {encoding!r}", f"use one of {', '.join(_ENCODINGS)}")
        if encoding == "plain" and compression == "zstd":
            # Readers that lack the newer encodings lack this codec as well.
            compression = "snappy"
        if compression not in _CODECS or not (compression == "none" or pa.Codec.is_available(compression)):
            raise SinkError(path, f"compression cannot be {compression!r}", f"use one of {', '.join(_CODECS)}")
        return cls(compression, use_dictionary, encoding == "plain")

    def options(self, field: Field, array: Array) -> dict[str, Any]:
        """What pyarrow's writer is told for a column with this field and these values."""
        options: dict[str, Any] = {"compression": self.compression, "use_dictionary": False}
        if self.is_plain:
            # Plain, and dictionaries, which every reader has.
            options |= {"version": "2.6", "data_page_version": "1.0"}
            return options | {"use_dictionary": self.use_dictionary and pa.types.is_string(field.type)}
        if pa.types.is_string(field.type):
            return options | {"use_dictionary": True}
        if not pa.types.is_floating(field.type):
            return options | {"column_encoding": _OF_TIMES}
        places = np.arange(0, len(array), 1 + len(array) // _LOOKED_AT)
        looked_at = numbers_of(array.take(arrow_array(places)))
        n_different = len(np.unique(looked_at))
        if self.use_dictionary and n_different <= _FEW:
            return options | {"use_dictionary": True}
        if self.compression == "zstd" and n_different >= _ALL_DIFFERENT * len(looked_at):
            options["compression_level"] = _SHORT_SEARCH
        return options | {"column_encoding": _OF_VALUES}


def checked_schema(path: Path, stream: Stream, layout: Layout) -> Schema:
    """The pyarrow schema; what belongs to a channel stands in the metadata of its field. Raises SinkError."""
    try:
        found = _schema(stream, layout)
        found.serialize()
    except UnicodeEncodeError as error:
        raise SinkError(
            path, f"a channel's name or unit is not Unicode text: {error}", "choose another name"
        ) from error
    twice = [name for name in found.names if len(found.get_all_field_indices(name)) > 1]
    if twice:
        raise SinkError(path, f"two columns would be called {twice[0]!r}", "rename the channel, or use layout: long")
    return found


def _schema(stream: Stream, layout: Layout) -> Schema:
    if stream.polled:
        return pa.schema([_reading_field(column, stream.channels) for column in reading_columns(stream.channels)])
    times = [
        pa.field("sample_index", pa.int64(), nullable=False),
        pa.field("t_mono_ns", pa.int64(), nullable=False, metadata={"unit": "ns"}),
        pa.field("t_utc", _T_UTC, nullable=False),
    ]
    if layout is Layout.WIDE:
        return pa.schema([*times, *(_channel_field(channel, stream.dtype) for channel in stream.channels)])
    return pa.schema(
        [
            *(pa.field(name, pa.string(), nullable=False) for name in ("device", "task", "channel")),
            pa.field("block_index", pa.int64(), nullable=False),
            *times,
            pa.field("value", pa.float64()),
            pa.field("unit", pa.string(), nullable=False),
            *(pa.field(name, pa.string()) for name in ("error_type", "error_message")),
        ]
    )


def _channel_field(channel: Channel, dtype: str) -> Field:
    stored = pa.from_numpy_dtype(np.dtype(dtype)) if channel.is_raw else pa.float64()
    return pa.field(channel.name, stored, metadata=_channel_metadata(channel))


def _channel_metadata(channel: Channel) -> dict[str, str]:
    metadata = {"unit": channel.unit, "kind": channel.kind}
    metadata |= {"scale": repr(channel.scale), "offset": repr(channel.offset)}
    if channel.range is not None:
        metadata["range"] = strict_json(channel.range)
    meaning = channel.meaning()
    if meaning is not None:
        metadata |= {"calibration": strict_json(meaning), "input_unit": channel.input_unit}
    return metadata


def _reading_field(column: ReadingColumn, channels: Sequence[Channel]) -> Field:
    metadata = None if column.channel is None else _channel_metadata(channels[column.channel])
    return pa.field(column.name, ARROW_TYPES[column.kind], metadata=metadata)


def empty_file_metadata(of: Schema) -> Struct:
    """The FileMetaData of a file without rows: pyarrow's own words for the schema."""
    out = pa.BufferOutputStream()
    with pq.ParquetWriter(out, of):
        pass
    return read_footer(out.getvalue())


def encoded(array: Array, field: Field, encoding: Encoding) -> ColumnPart:
    """One column as a chunk."""
    out = pa.BufferOutputStream()
    alone = pa.schema([field])
    options = encoding.options(field, array)
    # Without checksums of pages, zeros where values were are values too.
    with pq.ParquetWriter(out, alone, store_schema=False, write_page_checksum=True, **options) as writer:
        writer.write_table(pa.Table.from_arrays([array], schema=alone), row_group_size=len(array))
    return column_parts(memoryview(out.getvalue()))[0]


def arrays(stream: Stream, layout: Layout, part: TailPart) -> Iterator[Array]:
    """The columns of the schema, in its order; in the long layout one channel's samples stand behind the other's."""
    channels = range(len(stream.channels))
    if layout is Layout.WIDE:
        yield from _times(stream, part, 1)
        yield from (_values(stream, part, number) for number in channels)
        return
    n = part.n_samples
    yield repeated_text(stream.device, n * len(channels))
    yield repeated_text(stream.task, n * len(channels))
    yield pa.concat_arrays([repeated_text(channel.name, n) for channel in stream.channels])
    yield arrow_array(_repeated(part.block_index(), len(channels)))
    yield from _times(stream, part, len(channels))
    yield pa.concat_arrays([_values(stream, part, number).cast(pa.float64()) for number in channels])
    yield pa.concat_arrays([repeated_text(channel.unit, n) for channel in stream.channels])
    for texts in (ERROR_TYPES, ERROR_MESSAGES):
        yield pa.concat_arrays([_errors(part, number, texts) for number in channels])


def _times(stream: Stream, part: TailPart, repeats: int) -> Iterator[Array]:
    yield arrow_array(_repeated(part.sample_index(), repeats))
    yield arrow_array(_repeated(part.t_mono_ns(stream.clock), repeats))
    yield arrow_array(_repeated(part.t_utc_ns(stream.clock), repeats), _T_UTC)


def _repeated(column: NDArray[np.int64], repeats: int) -> NDArray[np.int64]:
    return column if repeats == 1 else np.tile(column, repeats)


def _values(stream: Stream, part: TailPart, number: int) -> Array:
    """One channel in its unit, or its codes where it is raw; null where the sensor is not OK."""
    channel = stream.channels[number]
    codes = part.codes(number)
    status = part.sensor_status(number)
    values = codes if channel.is_raw else engineering_values(channel, codes, None)
    return arrow_array(values, nulls=None if status is None else status != SensorStatus.OK)


def _errors(part: TailPart, number: int, texts: Sequence[str | None]) -> Array:
    status = part.sensor_status(number)
    if status is None:
        return pa.nulls(part.n_samples, pa.string())
    return text_array(texts).take(arrow_array(status))
