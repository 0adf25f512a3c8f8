"""What a sink of HDF5 can be told in a topology."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dtopipe.model.parts import PathText, SinkPart
from dtopipe.sinks.hdf5.chunk_rows import MOST_CHUNK_ROWS


class Hdf5Options(SinkPart):
    """One HDF5 file, whole at every instant."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    compression: Literal["gzip", "none"] = Field(
        default="gzip", description="Of the chunks, behind the shuffle filter: what every program of HDF5 reads."
    )
    values: bool = Field(default=False, description="Also each channel's values in its unit, beside its codes.")
    chunk_rows: int | None = Field(
        default=None,
        ge=1,
        le=MOST_CHUNK_ROWS,
        description="Rows of a chunk; readers see groups of four chunks. Default 32768, fewer of many channels.",
    )
