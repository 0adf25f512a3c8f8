"""What is known of files of lines: CSV and JSON Lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dtopipe.model.sink_types import OutputSize, RowBytes, SinkType
from dtopipe.sinks.rows.file_columns import FILE_COLUMNS
from dtopipe.sinks.text.limits import EXCEL, MOST_ROWS


def _most_rows(options: Mapping[str, Any]) -> int | None:
    return MOST_ROWS - 1 if options.get("dialect") == EXCEL else None


CSV = SinkType(
    name="csv",
    writer="dtopipe.sinks.text.dialects:csv_writer",
    reader="dtopipe.sinks.text.dialects:csv_reader",
    makes_views=True,
    splits=True,
    options="dtopipe.sinks.text.options:CsvOptions",
    reader_takes_stream=True,
    suffix=".csv",
    look="open it in a text editor or a spreadsheet: {path}",
    is_text=True,
    columns=FILE_COLUMNS,
    most_rows=_most_rows,
    size=OutputSize(wide=RowBytes(66, 20), long=RowBytes(0, 110), readings=RowBytes(165, 22)),
)

JSONL = SinkType(
    name="jsonl",
    writer="dtopipe.sinks.text.jsonl:JsonlWriter",
    reader="dtopipe.sinks.text.jsonl_reader:JsonlReader",
    makes_views=True,
    splits=True,
    options="dtopipe.sinks.text.options:JsonlOptions",
    reader_takes_stream=True,
    suffix=".jsonl",
    look="open it in a text editor: {path}",
    is_text=True,
    columns=FILE_COLUMNS,
    size=OutputSize(wide=RowBytes(105, 30), long=RowBytes(0, 250), readings=RowBytes(370, 45)),
    # JSON has no word for them.
    holds_nonfinite=False,
)
