"""A board and a sink for dtopipe: streams of the lab streaming layer (LSL).

What dtopipe has to know of them stands here; the board is in `board.py`, the sink in `sink.py`, and both are imported
when they are used.
"""

from dtopipe.model.board_types import BoardType
from dtopipe.model.sink_types import OutputSize, RowBytes, SinkType

LSL_BOARD = BoardType(
    name="lsl",
    board="dtopipe_lsl.board:LslBoard",
    # Of most streams; whole numbers stay as they are, and are shorter.
    dtype=lambda options: "float64",
)

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
