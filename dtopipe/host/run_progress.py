"""How a run went over time, from its folder: `progress.jsonl`."""

from __future__ import annotations

import contextlib
from pathlib import Path

from dtopipe.model.facts import parsed
from dtopipe.model.stretch import Stretch, thinned

# Its lines are stretches as `Stretch.to_json` has them, in their order.
PROGRESS_FILE = "progress.jsonl"
# A thousand sinks take a tenth of that; what is longer is damage.
_LONGEST_LINE = 2**20


def stretches_of(folder: Path, most: int) -> list[Stretch]:
    """The stretches in this run folder, joined until there are at most so many; none where a run has no such file.

    It writes nothing, and passes over what is torn, damaged or out of order.
    """
    found: list[Stretch] = []
    step, begun = 1, 0
    with contextlib.suppress(OSError), (folder / PROGRESS_FILE).open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            with contextlib.suppress(ValueError):
                stretch = Stretch.from_json(parsed(line))
                if found and stretch.t_utc_ns <= found[-1].t_utc_ns:
                    continue
                if 0 < begun < step:
                    found[-1], begun = found[-1].followed_by(stretch), begun + 1
                    continue
                if len(found) == most:
                    found, step = thinned(found), 2 * step
                found.append(stretch)
                begun = 1
    return found
