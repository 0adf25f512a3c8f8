"""What every board promises, in one suite: that of `dtopipe.testing`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from recordings import blocks, recorded

from dtopipe.boards.board_types import REPLAY, SIMULATED
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.testing import BoardConformance, task_of


class TestClocked(BoardConformance):
    board_type = SIMULATED
    polled_task = task_of("a", "b", rate_hz=100.0, polled=True)

    @pytest.fixture
    def board_options(self, tmp_path: Path) -> Mapping[str, Any]:
        return {"device": str(tmp_path)}


class TestAsFastAsItIsRead(BoardConformance):
    board_type = SIMULATED
    options: ClassVar[Mapping[str, Any]] = {"waveform": "noise", "pace": "max"}
    is_exclusive = False
    polled_task = task_of("a", "b", polled=True)


class TestOverrunning(BoardConformance):
    """Losses that are announced are none of the suite's business."""

    board_type = SIMULATED
    options: ClassVar[Mapping[str, Any]] = {"pace": "max", "overruns": [{"at": 30, "samples": 7}]}
    is_exclusive = False


class TestReplayed(BoardConformance):
    board_type = REPLAY
    task = None
    is_exclusive = False

    @pytest.fixture
    def board_options(self, tmp_path: Path) -> Mapping[str, Any]:
        stream = recorded()
        writer = HbufWriter(OutputOptions(tmp_path / "played.dt-raw"))
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 5000))
        writer.close()
        return {"path": str(tmp_path / "played.dt-raw"), "speed": "max"}
