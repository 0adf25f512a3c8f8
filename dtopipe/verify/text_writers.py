"""The writer of a text output, as it was in the run, for its encoding alone."""

from __future__ import annotations

import os

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_writer
from dtopipe.sinks.text.delimited import DelimitedWriter
from dtopipe.topology.recorded import recorded_options
from dtopipe.verify.outputs import Output


def text_writer(output: Output) -> DelimitedWriter | None:
    """One that is never opened; None for an output of another kind, or if its options are not known."""
    if output.path is None or output.stream.polled or not (output.kind.is_text and output.has_all_samples):
        return None
    sink = output.topology.get("sinks", {}).get(output.name, {})
    try:
        options = recorded_options(output.topology, output.name, os.environ)
        layout = Layout(sink.get("layout", Layout.WIDE))
        writer = load_writer(output.type)(OutputOptions(output.path, layout), **options)
    except (SinkError, ValueError, TypeError):
        return None
    return writer if isinstance(writer, DelimitedWriter) else None
