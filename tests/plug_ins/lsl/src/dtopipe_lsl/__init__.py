"""A board and a sink for dtopipe: streams of the lab streaming layer (LSL).

What dtopipe has to know of the sink stands here; it is in `sink.py`, the board in `board.py`, and both are imported
when they are used.
"""

from dtopipe.model.sink_types import OutputSize, RowBytes, SinkType

LSL = SinkType(
    name="lsl",
    writer="dtopipe_lsl.sink:LslWriter",
    options="dtopipe_lsl.sink:LslOptions",
    suffix=".lsl",
    # Samples go to whoever listens; the file holds how far that is.
    keeps_samples=False,
    has_layouts=False,
    takes_readings=False,
    one_run_a_file=True,
    size=OutputSize(wide=RowBytes(0, 0)),
)
