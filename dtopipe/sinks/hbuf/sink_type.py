"""What is known of raw files, `.dt-raw`."""

from __future__ import annotations

from dtopipe.model.sink_types import OutputSize, Rollover, RowBytes, SinkType
from dtopipe.wire.raw_files import INDEX_SUFFIX

_ROW = RowBytes(0, 2)

HBUF = SinkType(
    name="hbuf",
    writer="dtopipe.sinks.hbuf.writer:HbufWriter",
    reader="dtopipe.sinks.hbuf.reader:HbufReader",
    options="dtopipe.sinks.hbuf.options:HbufOptions",
    reader_takes_stream=True,
    suffix=".dt-raw",
    look='"{python}" -m dtopipe convert "{path}" --to csv --path again.csv',
    companions=(INDEX_SUFFIX,),
    is_raw=True,
    has_layouts=False,
    takes_readings=False,
    one_run_a_file=True,
    goes_on_in_next_file=True,
    # A chunk's header for each block.
    size=OutputSize(wide=_ROW, long=_ROW, block=420, holds_codes=True),
    rollover=Rollover.SEGMENT,
)
