"""Opens a board and holds it until it is killed; what to open comes as a line of JSON, `open` is said then."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from dtopipe.wire.describe import task_from


def main() -> None:
    """Never ends by itself, unless its parent does."""
    told = json.loads(sys.stdin.readline())
    module, _, name = told["board"].partition(":")
    board_class: Any = import_module(module)
    for part in name.split("."):
        board_class = getattr(board_class, part)
    board = board_class(told["options"], None if told["task"] is None else task_from(told["task"]))
    board.open()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
