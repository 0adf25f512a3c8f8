"""What is known of outputs in Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dtopipe.model.sink_types import ClosingCost, OutputSize, Rollover, RowBytes, SinkType
from dtopipe.sinks.grouped.suffix import TAIL_SUFFIX
from dtopipe.sinks.parquet.row_groups import READINGS_OF_A_GROUP, ROWS_OF_A_GROUP
from dtopipe.sinks.rows.file_columns import FILE_COLUMNS


def _group_rows(options: Mapping[str, Any], polled: bool) -> int:
    return options.get("row_group_size") or (READINGS_OF_A_GROUP if polled else ROWS_OF_A_GROUP)


PARQUET = SinkType(
    name="parquet",
    writer="dtopipe.sinks.parquet.writer:ParquetWriter",
    reader="dtopipe.sinks.parquet.reader:ParquetReader",
    makes_views=True,
    splits=True,
    options="dtopipe.sinks.parquet.options:ParquetOptions",
    reader_takes_stream=True,
    suffix=".parquet",
    look='"{python}" -c "import pyarrow.parquet; print(pyarrow.parquet.read_table(r\'{path}\').slice(0, 5))"\n'
    "or with pandas: pandas.read_parquet(r'{path}')",
    magic=b"PAR1",
    companions=(TAIL_SUFFIX,),
    module="pyarrow",
    extra="parquet",
    one_run_a_file=True,
    columns=FILE_COLUMNS,
    size=OutputSize(wide=RowBytes(2, 2.5), long=RowBytes(0, 4), readings=RowBytes(18, 4), holds_codes=True),
    # The tail of codes becomes columns of up to 8 bytes a value, index and time; then comes a footer.
    closing=ClosingCost(of_waiting=3.0, in_any_case=2**18),
    group_rows=_group_rows,
    rollover=Rollover.ROW_GROUP,
)
