"""The suite of boards is for those that wait and those that are asked, too."""

from __future__ import annotations

from waiting_boards import Squares, Thermometer

from dtopipe.testing import BoardConformance, task_of


class TestSquares(BoardConformance):
    board = Squares
    is_exclusive = False


class TestThermometer(BoardConformance):
    board = Thermometer
    task = task_of("heat", rate_hz=100.0, polled=True)
    is_exclusive = False
