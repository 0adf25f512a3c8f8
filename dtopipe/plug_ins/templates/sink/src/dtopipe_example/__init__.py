"""A sink for dtopipe: `type: example` writes a text file, a line a sample.

What dtopipe has to know of it stands here; the format is in `writer.py`, which is imported when it is used.
"""

from dtopipe.model.sink_types import OutputSize, RowBytes, SinkType

EXAMPLE = SinkType(
    name="example",
    writer="dtopipe_example.writer:ExampleWriter",
    reader="dtopipe_example.writer:ExampleReader",
    # What a topology may say besides; `dtopipe sinks example` shows it.
    options="dtopipe_example.writer:ExampleOptions",
    suffix=".txt",
    # Its reader has a keyword for what the run recorded.
    reader_takes_stream=True,
    # What it does not hold, so that a topology that asks for it is refused.
    has_layouts=False,
    takes_readings=False,
    one_run_a_file=True,
    # Bytes a row and a value, for `dtopipe check`.
    size=OutputSize(wide=RowBytes(40, 20)),
)
