"""Samples as Arrow tables, pandas frames and xarray datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dtopipe.loading.samples import Samples
from dtopipe.model.errors import SinkDependencyError
from dtopipe.model.span import Cause, Gap

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import xarray as xr

_WORDS = ["ok", "null", "gap", "not_triggered"]
_GAP, _NOT_TRIGGERED = 2, 3


def arrow_table(samples: Samples, about: Mapping[str, Any]) -> pa.Table:
    """`sample_index`, `t_mono_ns`, `t_utc`, then the channels. Raises SinkDependencyError without pyarrow."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise SinkDependencyError(None, "an Arrow table needs pyarrow", 'pip install "dtopipe[parquet]"') from error
    fields = [
        pa.field("sample_index", pa.int64()),
        pa.field("t_mono_ns", pa.int64()),
        pa.field("t_utc", pa.timestamp("ns", tz="UTC")),
    ]
    columns = [
        pa.array(samples.sample_index),
        pa.array(samples.t_mono_ns),
        pa.array(samples.t_utc_ns).cast(fields[2].type),
    ]
    for channel, values in zip(samples.channels, samples.values, strict=True):
        fields.append(pa.field(channel.name, pa.float64(), metadata={"unit": channel.unit}))
        columns.append(pa.array(values, from_pandas=True))
    schema = pa.schema(fields, metadata={name: _text(value) for name, value in about.items()})
    return pa.Table.from_arrays(columns, schema=schema)


def pandas_frame(samples: Samples, about: Mapping[str, Any]) -> pd.DataFrame:
    """A column a channel over UTC. Raises SinkDependencyError without pandas."""
    pandas = _pandas()
    columns = dict(enumerate(samples.values))
    frame = pandas.DataFrame(columns, index=_utc_index(samples), copy=False)
    frame.columns = pandas.Index([channel.name for channel in samples.channels])
    frame.attrs.update(about, units={channel.name: channel.unit for channel in samples.channels})
    return frame


def quality_frame(samples: Samples, whole: Samples, gaps: Sequence[Gap], about: Mapping[str, Any]) -> pd.DataFrame:
    """Of each row of `whole`, which has those of gaps too, and each channel: `ok`, `null`, `gap` or `not_triggered`."""
    pandas = _pandas()
    is_there = np.zeros(len(whole), bool)
    is_there[np.searchsorted(whole.sample_index, samples.sample_index)] = True
    absent = np.full(len(whole), _GAP, np.int8)
    for gap in gaps:
        if gap.cause is Cause.NOT_TRIGGERED:
            start, stop = np.searchsorted(whole.sample_index, (gap.span.start, gap.span.stop))
            absent[start:stop] = _NOT_TRIGGERED
    columns = {}
    for number, values in enumerate(whole.values):
        codes = np.where(is_there, np.isnan(values), absent).astype(np.int8)
        columns[number] = pandas.Categorical.from_codes(codes, categories=_WORDS)
    frame = pandas.DataFrame(columns, index=_utc_index(whole))
    frame.columns = pandas.Index([channel.name for channel in whole.channels])
    frame.attrs.update(about)
    return frame


def xarray_dataset(samples: Samples, about: Mapping[str, Any]) -> xr.Dataset:
    """A variable a channel over `t_utc`, UTC without its zone. Raises SinkDependencyError without xarray."""
    try:
        import xarray
    except ImportError as error:
        raise SinkDependencyError(None, "a dataset needs xarray", 'pip install "dtopipe[xarray]"') from error
    over = "t_utc"
    variables = {
        channel.name: (over, values, {"units": channel.unit})
        for channel, values in zip(samples.channels, samples.values, strict=True)
    }
    coordinates = {
        over: samples.t_utc_ns.view("datetime64[ns]"),
        "sample_index": (over, samples.sample_index),
        "t_mono_ns": (over, samples.t_mono_ns),
    }
    return xarray.Dataset(variables, coordinates, dict(about))


def _utc_index(samples: Samples) -> Any:
    pandas = _pandas()
    return pandas.DatetimeIndex(samples.t_utc_ns.view("datetime64[ns]"), name="t_utc").tz_localize("UTC")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise SinkDependencyError(None, "a frame needs pandas", 'pip install "dtopipe[pandas]"') from error
    return pandas


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
