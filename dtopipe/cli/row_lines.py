"""Rows of an output as lines of text."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.shown import json_text
from dtopipe.model.stream import Stream
from dtopipe.verify.tail import CommittedRows


class RowLines:
    """Rows of an output as lines: of CSV with a head, or as JSON Lines. The long layout has a row a channel too."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._columns: list[str] = []

    def __call__(self, stream: Stream, rows: CommittedRows) -> str:
        """The rows, each with the times of its sample and its values; the head before the first ones."""
        columns = ["sample_index", "t_mono_ns", "t_utc", *(rows.values if rows.is_wide else ("channel", "value"))]
        is_raw = {channel.name: channel.is_raw and stream.dtype != "float64" for channel in stream.channels}
        cells = [_numbers(column, is_raw=is_raw[name]) for name, column in rows.values.items()]
        if not rows.is_wide:
            cells = [list(rows.values) * len(rows), *cells]
        utc = [f"{text}Z" for text in np.datetime_as_string(rows.t_utc_ns.astype("datetime64[ns]"))]
        lines = zip(rows.sample_index.tolist(), rows.t_mono_ns.tolist(), utc, *cells, strict=True)
        if self._as_json:
            return "".join(f"{json_text(dict(zip(columns, line, strict=True)))}\n" for line in lines)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if columns != self._columns:
            self._columns = columns
            writer.writerow(columns)
        writer.writerows(lines)
        return out.getvalue()


def _numbers(column: NDArray[np.float64], *, is_raw: bool) -> list[Any]:
    """None for null."""
    return [None if np.isnan(value) else int(value) if is_raw else value for value in column.tolist()]
