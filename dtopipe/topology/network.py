"""What a topology says of other machines: where it is served, and whose run it follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dtopipe.model.errors import WireError
from dtopipe.model.plan import BoardPlan, ListenPlan, SinkPlan, TaskPlan
from dtopipe.wire.key_text import LONGEST_TEXT, parse_public_key

Found = Iterator[tuple[str, str, str]]


def check_listen(listen: ListenPlan, sinks: Sequence[SinkPlan], task: TaskPlan | None) -> Found:
    """Problems (key, what, remedy) with a run that is to be served."""
    journal = next((sink for sink in sinks if sink.is_journal), None)
    if journal is None:
        yield "listen", "only a run with a journal can be served in this version", "add a sink of type hbuf"
    elif journal.retires:
        what = "a journal that retires segments cannot be served in this version"
        yield f"sinks.{journal.name}.retention", what, "take retention, or listen, out"
    if task is not None and task.polled:
        yield "listen", "polled tasks cannot be served in this version", "take it out"


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
