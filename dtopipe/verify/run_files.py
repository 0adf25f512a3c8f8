"""Lines of a run's own files that cannot be read: torn, overwritten, or not what belongs there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from dtopipe.host.run_progress import PROGRESS_FILE
from dtopipe.model.clock import utc_ns
from dtopipe.model.errors import WireError
from dtopipe.model.facts import parsed
from dtopipe.model.stretch import Stretch
from dtopipe.wire.gap_lines import gap_from_line

# Every run has these.
LINE_FILES = ("gaps.jsonl", "events.jsonl", "clock.jsonl")
# Runs of earlier versions have none, and of one that was killed its end may be torn.
_MAY_END_ANYHOW = PROGRESS_FILE
# No line of ours is longer.
_LONGEST_LINE_BYTES = 2**22
_MOST_NAMED = 5


def damaged_files(folder: Path) -> Iterator[str]:
    """Each of the run's files of lines that is damaged, in words."""
    checks = (gap_from_line, _check_event, _check_pair, _check_stretch)
    for name, check in zip((*LINE_FILES, _MAY_END_ANYHOW), checks, strict=True):
        try:
            damaged = list(_damaged_lines(folder / name, check, may_be_torn=name == _MAY_END_ANYHOW))
        except FileNotFoundError:
            continue
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
            continue
        if damaged:
            more = f" and {len(damaged) - _MOST_NAMED} more" if len(damaged) > _MOST_NAMED else ""
            lines = "line" if len(damaged) == 1 else "lines"
            yield f"{name} is damaged in {lines} {', '.join(map(str, damaged[:_MOST_NAMED]))}{more}"


def _damaged_lines(path: Path, check: Callable[[str], object], *, may_be_torn: bool) -> Iterator[int]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE_BYTES):
            number += 1
            try:
                if not line.endswith(b"\n"):
                    if may_be_torn:
                        return
                    raise ValueError("its end is cut away")
                check(line.decode())
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, WireError):
                yield number


def _check_event(line: str) -> None:
    document = json.loads(line)
    utc_ns(document["t_utc"])
    str(document["event"])


def _check_stretch(line: str) -> None:
    Stretch.from_json(parsed(line))


def _check_pair(line: str) -> None:
    document = json.loads(line)
    int(document["sample_index"])
    int(document["t_mono_ns"])
    utc_ns(document["t_utc"])
