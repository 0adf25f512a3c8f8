"""The place of `RawCountsSink` in the reference, for programs that were written for it."""

from dtopipe.sinks.programs.raw_counts import RAW_FORMAT_VERSION, RawCountsSink

__all__ = ["RAW_FORMAT_VERSION", "RawCountsSink"]
