"""Parquet for programs; importable without pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dtopipe.model.policy import Layout, OnExists
from dtopipe.sinks.base import OutputOptions, SinkWriter
from dtopipe.sinks.tabular import TabularSink, output_options


class ParquetSink(TabularSink):
    """One Parquet file for programs, of readings or of blocks, readable at any time, whole at the close.

    `compression`: of the columns' pages; `use_dictionary`: dictionaries where they pay; `encoding`: `newer`, or `plain`
    for readers that lack those (then snappy in place of zstd); `row_group_size`: rows in a group, by default
    about a million. `layout`: `wide`, a row a sample, or `long`, a row a sample and channel.
    `on_exists`: `error`, `rename` or `overwrite`. Needs the extra `parquet`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        compression: str = "zstd",
        use_dictionary: bool = True,
        row_group_size: int | None = None,
        encoding: str = "newer",
        layout: str | Layout = Layout.WIDE,
        on_exists: str | OnExists = OnExists.ERROR,
    ) -> None:
        super().__init__(output_options(path, layout, on_exists))
        self._options: dict[str, Any] = {
            "compression": compression,
            "use_dictionary": use_dictionary,
            "encoding": encoding,
            "row_group_size": row_group_size,
        }

    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """A file that grows by row groups. Raises SinkDependencyError without pyarrow."""
        from dtopipe.sinks.parquet import ParquetWriter

        return ParquetWriter(output, **self._options)
