"""What the author of a sink or of a board runs on his own class, with pytest.

    from dtopipe.testing import SinkConformance
    from dtopipe_lines import LINES

    class TestLines(SinkConformance):
        sink_type = LINES

Everything that `dtopipe.sinks.contract` and `dtopipe.boards.contract` promise is tried: kills at every step, torn ends,
full disks, times. dtopipe's own sinks and boards pass the same classes. It needs the extra `testing`.
"""

from __future__ import annotations

try:
    import pytest
except ImportError as error:
    raise ImportError("dtopipe.testing needs pytest\n    pip install 'dtopipe[testing]'") from error

pytest.register_assert_rewrite(
    *(
        f"dtopipe.testing.{name}"
        for name in (
            "board_conformance",
            "board_under_test",
            "commands",
            "option_help",
            "sink_deaths",
            "sink_faults",
            "sink_promises",
            "sink_readings",
            "sink_runs",
            "sink_under_test",
        )
    )
)

# Behind the rewriting, which concerns what is imported after it.
from dtopipe.testing.board_conformance import BoardConformance  # noqa: E402
from dtopipe.testing.board_under_test import task_of  # noqa: E402
from dtopipe.testing.sink_conformance import SinkConformance  # noqa: E402
from dtopipe.testing.sink_under_test import Appends, SinkUnderTest  # noqa: E402

__all__ = ["Appends", "BoardConformance", "SinkConformance", "SinkUnderTest", "task_of"]
