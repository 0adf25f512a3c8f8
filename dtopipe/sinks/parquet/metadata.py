"""Where a Parquet file has what an output of groups says of itself: in its key-value metadata, under `dtopipe`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dtopipe.model.errors import SinkError
from dtopipe.sinks.grouped.metadata import FileMetadata, metadata_from

KEY = b"dtopipe"


def metadata_of(path: Path, key_values: Mapping[bytes, bytes] | None) -> FileMetadata:
    """What a file's key-value metadata says. Raises SinkError if it is none of ours."""
    text = (key_values or {}).get(KEY)
    if text is None:
        raise SinkError(path, "is not a Parquet file of dtopipe: its metadata has no such key", "give another path")
    return metadata_from(path, text)
