"""How long things may go wrong before a sample is lost: a bar and its seconds each."""

from __future__ import annotations

from typing import Any

from rich.text import Text

_WIDTH = 20
# A disk that has room for longer is as good as empty.
_LONG_S = 3600.0
_NAMES = {"board": "board FIFO", "ring": "ring", "journal": "journal"}


def headroom_lines(status: dict[str, Any]) -> list[Text]:
    """A line for the board's own buffers, the ring and the journal, where they hold something, and a disk that fills.

    The board's and the ring's say how long a sink that holds them may stop until samples are overrun; the journal's how
    long one that reads from it may: until its disk has no room for more, or it keeps nothing more for a machine that is
    away.
    """
    lines = [
        _bar(_NAMES[part], seconds["left_s"], seconds["of_s"])
        for part, seconds in (status.get("headroom") or {}).items()
        if part in _NAMES and seconds
    ]
    for disk in status.get("disks", ()):
        if (full_in_s := disk.get("full_in_s")) is not None:
            lines.append(_bar("disk", full_in_s, max(full_in_s, _LONG_S)))
    return lines


def _bar(name: str, left_s: float, of_s: float) -> Text:
    part = min(1.0, max(0.0, left_s / of_s)) if of_s > 0 else 0.0
    filled = round(part * _WIDTH)
    style = "green" if part > 0.25 else "red"
    bar = "█" * filled + "·" * (_WIDTH - filled)
    return Text.assemble((f"{name:<11}", "dim"), (bar, style), f" {_duration(left_s)}")


def _duration(seconds: float) -> str:
    for limit, unit in ((86_400.0, "d"), (3600.0, "h"), (120.0, "min")):
        if seconds >= limit:
            return f"{seconds / (60.0 if unit == 'min' else limit):.1f} {unit}"
    return f"{seconds:.1f} s"
