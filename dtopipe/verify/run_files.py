"""Lines of a run's own files that cannot be read: torn, overwritten, or not what belongs there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from dtopipe.model.clock import utc_ns
from dtopipe.model.errors import WireError
from dtopipe.wire.gap_lines import gap_from_line

# Every run has these.
LINE_FILES = ("gaps.jsonl", "events.jsonl", "clock.jsonl")
# No line of ours is longer.
_LONGEST_LINE_BYTES = 2**22
_MOST_NAMED = 5


def damaged_files(folder: Path) -> Iterator[str]:
    """Each of the run's files of lines that is damaged, in words."""
    for name, check in zip(LINE_FILES, (gap_from_line, _check_event, _check_pair), strict=True):
        try:
            damaged = list(_damaged_lines(folder / name, check))
        except FileNotFoundError:
            continue
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
            continue
        if damaged:
            more = f" and {len(damaged) - _MOST_NAMED} more" if len(damaged) > _MOST_NAMED else ""
            lines = "line" if len(damaged) == 1 else "lines"
            yield f"{name} is damaged in {lines} {', '.join(map(str, damaged[:_MOST_NAMED]))}{more}"


def _damaged_lines(path: Path, check: Callable[[str], object]) -> Iterator[int]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE_BYTES):
            number += 1
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("its end is cut away")
                check(line.decode())
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, WireError):
                yield number


def _check_event(line: str) -> None:
    document = json.loads(line)
    utc_ns(document["t_utc"])
    str(document["event"])


def _check_pair(line: str) -> None:
    document = json.loads(line)
    int(document["sample_index"])
    int(document["t_mono_ns"])
    utc_ns(document["t_utc"])
