"""The place of `JsonlSink` in the reference, for programs that were written for it."""

from dtopipe.sinks.programs.sinks import JsonlSink

__all__ = ["JsonlSink"]
