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
BOARD_CAUSES = (Cause.BOARD_OVERRUN, Cause.ACQUIRER_RESTART, Cause.TRANSPORT, Cause.BOARD_AWAY)


def read_gaps(path: Path) -> dict[str | None, list[Gap]]:
    """The gaps of the board (None) and of each sink, in order; what is torn or not there is left out."""
    return _read(path)[0]


def gaps_are_whole(path: Path) -> bool:
    """True if `gaps.jsonl` is there, and every line of it can be read."""
    return path.is_file() and _read(path)[1]


def _read(path: Path) -> tuple[dict[str | None, list[Gap]], bool]:
    """The gaps, and whether no line was left out."""
    found: dict[str | None, list[Gap]] = {}
    is_whole = True
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return {}, False
    # Behind the last line's end nothing is.
    for number, line in enumerate(lines, 1):
        try:
            if line or number < len(lines):
                sink, gap = gap_from_line(line.decode())
                found.setdefault(sink, []).append(gap)
        except (WireError, UnicodeDecodeError):
            is_whole = False
    return {sink: sorted(set(gaps)) for sink, gaps in found.items()}, is_whole


def board_gaps(path: Path, outputs: Sequence[Output]) -> list[Gap]:
    """What the board lost, by `gaps.jsonl`; where that is damaged or not there, by what the outputs say as well."""
    told, is_whole = _read(path)
    if is_whole:
        return told.get(None, [])
    found: dict[Span, Gap] = {gap.span: gap for gap in told.get(None, [])}
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
