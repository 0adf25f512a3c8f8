"""What a topology says of another machine whose run it follows."""

from __future__ import annotations

from pathlib import Path

from dtopipe.model.errors import WireError
from dtopipe.model.plan import BoardPlan
from dtopipe.model.sink_types import Found
from dtopipe.wire.key_text import LONGEST_TEXT, parse_public_key


def check_remote(board: BoardPlan) -> Found:
    """Problems with a board that is another machine, its key's path being absolute."""
    key, insecure = board.options.get("server_key"), bool(board.options.get("insecure"))
    if key is None and not insecure:
        yield (
            "board.server_key",
            "is missing: nobody could tell whose samples these are",
            "there: dtopipe keys show > daq-pc.pub; name a copy of that file, or write insecure: true",
        )
    elif key is not None and insecure:
        yield "board.insecure", "there is a server_key, which is not looked at then", "take one of the two out"
    elif key is not None:
        try:
            with Path(key).open("rb") as file:
                parse_public_key(file.read(LONGEST_TEXT).decode("utf-8", errors="replace"))
        except OSError as error:
            yield "board.server_key", f"{key}: {error.strerror}", "there: dtopipe keys show; copy that file here"
        except WireError as error:
            yield "board.server_key", f"{key}: {error}", "there: dtopipe keys show; copy that file here"
