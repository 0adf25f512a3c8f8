"""What happened to each process of a run, from its events: when it worked, and when it was away or dead."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dtopipe.model.clock import utc_ns
from dtopipe.model.shown import shown

# Every run has these; they tell nothing that the lives below do not show.
_ORDINARY = ("started", "ready", "running", "done", "finished", "kept_awake", "mark")
# After these a process works, and after those it does not.
_WORKS = ("started", "ready", "back", "delivers_again", "goes_on")
_WORKS_NOT = ("died", "away", "silent", "gave_up", "cut_off", "failed", "killed", "hung", "stalled")
_ENDS = ("done", "detached")
_MOST_FIRST, _MOST_LAST = 200, 200
_MOST_PROCESSES, _MOST_STRETCHES = 200, 500
_LONGEST_DETAIL = 400


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the events; `text`: its details in words; `channel`: the one that it is about, if it is."""

    t_utc_ns: int
    event: str
    process: str
    text: str
    channel: str = ""


@dataclass(slots=True)
class Life:
    """A process's time, in stretches `(begin, end, works)` in UTC ns; the last one may go on, and has no end."""

    process: str
    stretches: list[tuple[int, int | None, bool]] = field(default_factory=list)
    starts: int = 0

    def _turn(self, t_utc_ns: int, works: bool | None) -> None:
        if self.stretches:
            begin, end, before = self.stretches[-1]
            if end is None and before is works:
                return
            if end is None:
                self.stretches[-1] = (begin, max(begin, t_utc_ns), before)
        if works is not None and len(self.stretches) < _MOST_STRETCHES:
            self.stretches.append((t_utc_ns, None, works))

    def hear(self, event: str, t_utc_ns: int) -> None:
        """Take one of its events, in order."""
        self.starts += event == "started"
        if event in _WORKS:
            self._turn(t_utc_ns, True)
        elif event in _WORKS_NOT:
            self._turn(t_utc_ns, False)
        elif event in _ENDS:
            self._turn(t_utc_ns, None)


@dataclass(frozen=True, slots=True)
class History:
    """`told`: what was not ordinary, of very many the first and the last; `left_out`: how many were between."""

    lives: tuple[Life, ...]
    told: tuple[Happening, ...]
    left_out: int


def history_of(events: Iterable[Mapping[str, Any]]) -> History:
    """What the events tell; whatever a line has that ours have not is passed over."""
    lives: dict[str, Life] = {}
    first: list[Happening] = []
    last: deque[Happening] = deque(maxlen=_MOST_LAST)
    n_told = 0
    for event in events:
        happening = _happening(event)
        if happening is None:
            continue
        name, process = happening.event, happening.process
        if process and (process in lives or len(lives) < _MOST_PROCESSES):
            lives.setdefault(process, Life(process)).hear(name, happening.t_utc_ns)
        if name in _ORDINARY:
            continue
        n_told += 1
        if len(first) < _MOST_FIRST:
            first.append(happening)
        else:
            last.append(happening)
    told = (*first, *last)
    return History(tuple(lives.values()), told, n_told - len(told))


def _happening(event: Mapping[str, Any]) -> Happening | None:
    name, process = event.get("event"), event.get("process", "")
    if not isinstance(name, str) or not isinstance(process, str):
        return None
    details = {key: value for key, value in event.items() if key not in ("t_utc", "event", "process", "pid")}
    text = "; ".join(f"{key} {_words(value)}" for key, value in details.items() if value not in (None, "", []))
    with contextlib.suppress(ValueError, TypeError, OverflowError, AttributeError):
        channel = event.get("channel", "")
        about = channel if isinstance(channel, str) else ""
        return Happening(utc_ns(event["t_utc"]), name, process, text[:_LONGEST_DETAIL], about)
    return None


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return shown(str(value))
