"""What is known of outputs in HDF5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dtopipe.model.sink_types import ClosingCost, OutputSize, Rollover, RowBytes, SinkType
from dtopipe.sinks.grouped.suffix import TAIL_SUFFIX
from dtopipe.sinks.hdf5.chunk_rows import CHUNKS_OF_A_GROUP, default_chunk_rows


def _group_rows(options: Mapping[str, Any], polled: bool) -> int:
    chunk_rows = options.get("chunk_rows") or default_chunk_rows(1, polled=polled)
    return int(chunk_rows) * CHUNKS_OF_A_GROUP


HDF5 = SinkType(
    name="hdf5",
    writer="dtopipe.sinks.hdf5.writer:Hdf5Writer",
    reader="dtopipe.sinks.hdf5.reader:Hdf5Reader",
    makes_views=True,
    splits=True,
    options="dtopipe.sinks.hdf5.options:Hdf5Options",
    reader_takes_stream=True,
    suffix=".h5",
    look='"{python}" -c "import h5py; h5py.File(r\'{path}\').visititems(print)"\nor: h5dump -H "{path}"',
    magic=b"\x89HDF\r\n\x1a\n",
    companions=(TAIL_SUFFIX,),
    one_run_a_file=True,
    size=OutputSize(wide=RowBytes(1, 2.2), long=RowBytes(0, 5), readings=RowBytes(20, 8), holds_codes=True),
    # The tail of codes becomes columns of up to 8 bytes a value, index and times; then comes a footer.
    closing=ClosingCost(of_waiting=4.0, in_any_case=2**18),
    group_rows=_group_rows,
    rollover=Rollover.ROW_GROUP,
)
