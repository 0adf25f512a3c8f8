"""Arrow's arrays from numpy's and back, by their buffers.

`pyarrow.array` and `to_numpy` ask first whether they were given something of pandas, for which they load it: half a
second and some 60 MB, in each process, for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.parquet.pyarrow_extra import pa

# pyarrow has no types for a type checker.
Array: TypeAlias = Any
DataType: TypeAlias = Any


def arrow_array(values: NDArray[Any], of_type: DataType = None, nulls: NDArray[np.bool_] | None = None) -> Array:
    """Numbers as a column; `of_type`: another one of the same width. `nulls`: (n,) where nothing is known."""
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype) if of_type is None else of_type
    return _array(kind, len(values), [pa.py_buffer(values)], nulls)


def text_array(texts: Sequence[str | None]) -> Array:
    """Texts as a column; None is null."""
    encoded = [b"" if text is None else text.encode() for text in texts]
    nulls = np.array([text is None for text in texts], bool)
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(each) for each in encoded], out=offsets[1:])
    return _array(pa.string(), len(texts), [pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))], nulls)


def repeated_text(text: str, n: int) -> Array:
    """One text, n times."""
    return text_array([text]).take(arrow_array(np.zeros(n, np.int8)))


def numbers_of(column: Array) -> NDArray[Any]:
    """The values of a column of numbers, in one piece or several; NaN for null, then float64."""
    if isinstance(column, pa.ChunkedArray):
        pieces = [numbers_of(piece) for piece in column.chunks]
        return np.concatenate(pieces) if pieces else np.empty(0, column.type.to_pandas_dtype())
    dtype = np.dtype(column.type.to_pandas_dtype())
    valid, data = column.buffers()
    values = np.frombuffer(data, dtype, len(column), column.offset * dtype.itemsize) if data else np.empty(0, dtype)
    if column.null_count:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        is_there = bits[column.offset : column.offset + len(column)].astype(bool)
        values = np.where(is_there, values, np.nan)
    return values


def _array(kind: DataType, n: int, buffers: Sequence[Any], nulls: NDArray[np.bool_] | None) -> Array:
    n_nulls = 0 if nulls is None else int(np.count_nonzero(nulls))
    valid = None if nulls is None or not n_nulls else pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    return pa.Array.from_buffers(kind, n, [valid, *buffers], n_nulls)
