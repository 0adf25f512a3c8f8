"""Writers of outputs in parts of 600 samples, as other processes can import them."""

from __future__ import annotations

from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.parts.writer import parted
from dtopipe.sinks.registry import load_writer


def _in_parts(name: str, output: OutputOptions) -> SinkWriter:
    return parted(load_writer(name), output, lambda stream: 600)


class CsvInParts:
    """Rows of text."""

    def __new__(cls, output: OutputOptions) -> SinkWriter:  # type: ignore[misc]
        return _in_parts("csv", output)


class ParquetInParts:
    """Row groups, and a tail."""

    def __new__(cls, output: OutputOptions) -> SinkWriter:  # type: ignore[misc]
        return _in_parts("parquet", output)


class Hdf5InParts:
    """Chunks, and a tail."""

    def __new__(cls, output: OutputOptions) -> SinkWriter:  # type: ignore[misc]
        return _in_parts("hdf5", output)


IN_PARTS = {"csv": CsvInParts, "parquet": ParquetInParts, "hdf5": Hdf5InParts}
