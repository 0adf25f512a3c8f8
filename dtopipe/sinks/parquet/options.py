"""What a sink of Parquet can be told in a topology."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dtopipe.model.parts import PathText, SinkPart


class ParquetOptions(SinkPart):
    """One Parquet file at the end; needs the extra `parquet`."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    compression: Literal["zstd", "snappy", "gzip", "lz4", "brotli", "none"] = Field(
        default="zstd", description="Of the columns' pages; where the encoding is plain, snappy stands for zstd."
    )
    encoding: Literal["newer", "plain"] = Field(
        default="newer",
        description="plain: for readers that lack the newer encodings (fastparquet, parquetjs); the file is larger.",
    )
    use_dictionary: bool = Field(
        default=True, description="Dictionaries for columns of few different values, where they are smaller."
    )
    row_group_size: int | None = Field(default=None, ge=1, description="Rows in a group; default about a million.")
