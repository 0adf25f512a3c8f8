"""What is known of a type of board without importing it: one frozen description, of ours and of plug-ins' alike.

`boards/registry.py` finds them. A plug-in gives one by its entry point in `dtopipe.boards`; where that names the
board's class alone, the defaults here hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from dtopipe.model.references import Reference

Options: TypeAlias = Mapping[str, Any]


def _never(options: Options) -> bool:
    return False


def _by_pace(options: Options) -> bool:
    return bool(options.get("pace") == "max")


def _int16(options: Options) -> str:
    return "int16"


def _no_end(options: Options) -> int | None:
    return None


def _nothing_lost(options: Options, end: int) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """What is asked of the file that a board plays, each a function of its path.

    `task`: the TaskPlan, raises TopologyError; `item_bytes`: bytes a code takes in the ring; `length_s`: about how long
    it is. The latter raise OSError and WireError.
    """

    task: Reference
    item_bytes: Reference
    length_s: Reference


@dataclass(frozen=True, slots=True)
class BoardType:
    """One type of board. `Reference`s are `module:name`, imported when they are used.

    `name`: as topologies have it. `board`: the class that `boards/contract.py` describes. `options`: a pydantic model
    of the board's own keys; without it, the class's attribute `Options`, else all keys pass. `channel_options`: the
    same of what a channel may say to this board. `problems(board plan)`: what single keys cannot show to be wrong.
    """

    name: str
    board: Reference
    options: Reference | None = None
    channel_options: Reference | None = None
    # What a channel may be besides `voltage`, `current` and `raw`.
    kinds: tuple[str, ...] = ()
    problems: Reference | None = None

    # The key that names a file, relative to the topology's folder.
    path_key: str = ""
    # Plays the file that `path_key` names, and has its task from there.
    recording: RecordingFile | None = None
    # It is the run of another machine, which brings its task along once it is there.
    follows: bool = False

    # It is reached by a link of ours, for which this user needs a key.
    links: bool = True
    # How an endpoint begins at which it finds the run that it follows, such as `tcp`.
    schemes: tuple[str, ...] = ()

    # Its samples are computed, not measured.
    is_simulated: Callable[[Options], bool] = _never
    # It goes on when it is read, and loses nothing until then.
    waits: Callable[[Options], bool] = _by_pace
    # The dtype that its `Opened` will say: int16, int32 or float64. For `dtopipe check`, which opens no board.
    dtype: Callable[[Options], str] = _int16
    # The sample index at which it ends by itself.
    ends_at: Callable[[Options], int | None] = _no_end
    # Samples that it loses on purpose before sample index `end`.
    lost_before: Callable[[Options, int], int] = _nothing_lost

    @property
    def brings_task(self) -> bool:
        """True if its topology has no `task`."""
        return self.follows or self.recording is not None
