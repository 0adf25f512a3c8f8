"""The earlier name of `dtopipe.boards.contract`, for boards that were written before it had that one."""

from dtopipe.boards.contract import Board, Ended, Link, LinkedBoard, Opened, Overrun, Poll, Surroundings, Taken

__all__ = ["Board", "Ended", "Link", "LinkedBoard", "Opened", "Overrun", "Poll", "Surroundings", "Taken"]
