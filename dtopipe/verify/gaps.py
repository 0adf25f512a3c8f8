"""`gaps.jsonl` read back, made again from what the outputs say, and replaced as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from dtopipe.host.run_folder import replace_text
from dtopipe.model.errors import DtopipeError, WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.verify.outputs import Output
from dtopipe.wire.gap_lines import gap_from_line, gap_line, json_line

# What no output can have: the samples never came.
BOARD_CAUSES = (Cause.BOARD_OVERRUN, Cause.ACQUIRER_RESTART, Cause.TRANSPORT)


def read_gaps(path: Path) -> dict[str | None, list[Gap]]:
    """The gaps of the board (None) and of each sink, in order; what is torn or not there is left out."""
    found: dict[str | None, list[Gap]] = {}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(WireError):
                sink, gap = gap_from_line(line)
                found.setdefault(sink, []).append(gap)
    return {sink: sorted(set(gaps)) for sink, gaps in found.items()}


def board_gaps(path: Path, outputs: Sequence[Output]) -> list[Gap]:
    """What the board lost, by `gaps.jsonl`; where that is not there, by what the outputs say."""
    if path.exists():
        return read_gaps(path).get(None, [])
    found: dict[Span, Gap] = {}
    for output in outputs:
        with contextlib.suppress(DtopipeError, OSError, ValueError):
            for gap in output.reader().gaps():
                if gap.cause in BOARD_CAUSES:
                    found.setdefault(gap.span, gap)
    return sorted(found.values())


def replace_gaps(path: Path, gaps: Mapping[str | None, Sequence[Gap]]) -> None:
    """Write all of it anew, atomically."""
    lines = [json_line(gap_line(sink, gap)) for sink, of in gaps.items() for gap in of]
    replace_text(path, "".join(f"{line}\n" for line in lines))
