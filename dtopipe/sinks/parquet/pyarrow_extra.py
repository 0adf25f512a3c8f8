"""pyarrow, or the words that get it: the plain install does without."""

from __future__ import annotations

from dtopipe.model.errors import SinkDependencyError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise SinkDependencyError(
        None, f"Parquet outputs need pyarrow, which cannot be imported ({error})", 'pip install "dtopipe[parquet]"'
    ) from error

__all__ = ["pa", "pq"]
