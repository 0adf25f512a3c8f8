"""The place of `CsvSink` in the reference, for programs that were written for it."""

from dtopipe.sinks.programs.sinks import CsvSink

__all__ = ["CsvSink"]
