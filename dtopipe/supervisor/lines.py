"""The run folder's line files: gaps, events, clock pairs."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dtopipe.core.clock_fit import ClockFit
from dtopipe.core.link_clock import LinkPair
from dtopipe.host.durability import sync_bytes
from dtopipe.host.run_marks import mark_line
from dtopipe.model.clock import Anchor, iso_utc
from dtopipe.model.errors import WireError
from dtopipe.model.marks import Mark
from dtopipe.model.span import Gap, Span
from dtopipe.wire.gap_lines import gap_from_line, gap_line, json_line

_log = logging.getLogger("dtopipe.supervisor")
# What happens again and again is written this often, then only counted.
_REPEATS_WRITTEN = 20
# What somebody has asked for is written more often.
_WRITTEN_MORE_OFTEN = {"triggered": 1000}
# A sink's successor tells the newest 1000 gaps of its output again, for its predecessor may not have told them.
_REMEMBERED = 2048
_ROOM_PATIENCE_S, _LOOK_AGAIN_S = 5.0, 0.1

# Hears of an event and what belongs to it.
Listener = Callable[[str, dict[str, Any]], None]


class LineFile:
    """Appends one JSON document a line, at once on disk's way, and on the disk when it is closed.

    What a full disk refuses waits until it has room.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._waiting = b""

    def append(self, document: dict[str, Any]) -> None:
        """One more line."""
        self._waiting += (json_line(document) + "\n").encode(errors="replace")
        self._write()

    def append_now(self, document: dict[str, Any]) -> bool:
        """The same, unless the disk has no room: then False, and nothing of it will ever be there."""
        if not self._write():
            return False
        begin = self._size()
        self.append(document)
        if not self._waiting:
            return True
        self._waiting = b""
        if begin is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(begin)
        return False

    def sync(self) -> bool:
        """What was written survives a power cut; False where something waits for room, or the disk does not answer."""
        if not self._write():
            return False
        try:
            sync_bytes(self._file.fileno())
        except OSError as error:
            _log.warning("%s: %s", self._path, error)
            return False
        return True

    def close(self) -> None:
        """Done, and synced; for what has no room yet it is waited a moment."""
        deadline = time.monotonic() + _ROOM_PATIENCE_S
        while not self._write() and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)
        if self._waiting:
            _log.error("%s: %d bytes had no room on the disk", self._path, len(self._waiting))
        try:
            sync_bytes(self._file.fileno())
        except OSError as error:
            _log.warning("%s: %s", self._path, error)
        self._file.close()

    def _size(self) -> int | None:
        try:
            return os.fstat(self._file.fileno()).st_size
        except OSError:
            return None

    def _write(self) -> bool:
        """True if nothing waits any more."""
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        except OSError as error:
            _log.warning("%s: %s", self._path, error)
        return not self._waiting


def link_facts(pair: LinkPair) -> dict[str, int]:
    """Their clocks less ours, in ns, and by how much that may be wrong."""
    return {
        "offset_ns": pair.offset_ns,
        "mono_offset_ns": pair.mono_offset_ns,
        "uncertainty_ns": pair.uncertainty_ns,
        "round_trip_ns": pair.round_trip_ns,
    }


class GapsFile:
    """`gaps.jsonl`: every gap once, of the board (`sink` null) and of each sink.

    `remembered`: how many of the newest gaps of each sink are known by heart, so that one that is told again is not
    written again; None for all of them, those included that the file has already.
    """

    def __init__(self, path: Path, *, remembered: int | None = _REMEMBERED) -> None:
        self._remembered = remembered
        # As sets that keep their order.
        self._written: dict[str | None, dict[Span, None]] = {}
        if remembered is None:
            for sink, span in _written_in(path):
                self._written.setdefault(sink, {})[span] = None
        self._lines = LineFile(path)

    def append(self, sink: str | None, gaps: Iterable[Gap]) -> list[Gap]:
        """Write those that are not there yet, and return them."""
        known = self._written.setdefault(sink, {})
        fresh = []
        for gap in gaps:
            if gap.span in known:
                continue
            known[gap.span] = None
            if self._remembered is not None and len(known) > self._remembered:
                del known[next(iter(known))]
            self._lines.append(gap_line(sink, gap))
            fresh.append(gap)
        return fresh

    def close(self) -> None:
        """Done."""
        self._lines.close()


def _written_in(path: Path) -> Iterator[tuple[str | None, Span]]:
    """What a gaps file holds already; a torn last line is written again."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError), path.open(encoding="utf-8") as file:
        for line in file:
            with contextlib.suppress(WireError):
                sink, gap = gap_from_line(line)
                yield sink, gap.span


class EventsFile:
    """`events.jsonl`: what happened; an event that repeats is written 20 times (of a trigger 1000), then counted."""

    def __init__(self, path: Path, utc_ns: Callable[[], int] = time.time_ns) -> None:
        """`utc_ns` tells the time of now."""
        self._lines = LineFile(path)
        self._utc_ns = utc_ns
        self._counts: dict[tuple[str, str, str], int] = {}
        self._listener: Listener | None = None

    def heard_by(self, listener: Listener) -> None:
        """From now on every event is told to it too, those included that are only counted."""
        self._listener = listener

    def append(self, event: str, process: str = "", /, **details: Any) -> None:
        """Note that something happened to a process of the run, now."""
        self.append_of("", event, process, **details)

    def append_of(self, of: str, event: str, process: str = "", /, **details: Any) -> None:
        """The same of something that counts by itself, such as each limit of each channel."""
        if self._listener is not None:
            self._listener(event, details)
        count = self._counts[event, process, of] = self._counts.get((event, process, of), 0) + 1
        if count <= _most_written(event):
            _log.info("%s %s %s", event, process, details or "")
            line = {"t_utc": iso_utc(self._utc_ns()), "event": event}
            self._lines.append({**line, **({"process": process} if process else {}), **details})

    def append_mark(self, mark: Mark) -> bool:
        """Write a mark, however many there are, and sync it; False while the disk has no room: then it waits."""
        _log.info("mark %d: %s at sample %d", mark.number, ascii(mark.label), mark.sample_index)
        self._lines.append(mark_line(mark, iso_utc(self._utc_ns())))
        return self._lines.sync()

    def close(self) -> None:
        """Write the counts of what was not written out, and close."""
        for (event, process, of), count in self._counts.items():
            if count > _most_written(event):
                line = {"t_utc": iso_utc(self._utc_ns()), "event": "repeated", "what": event, "process": process}
                self._lines.append({**line, **({"of": of} if of else {}), "times": count})
        self._lines.close()


def _most_written(event: str) -> int:
    return _WRITTEN_MORE_OFTEN.get(event, _REPEATS_WRITTEN)


class ClockFile:
    """`clock.jsonl`: (sample_index, t_mono_ns, t_utc) pairs as they were read."""

    def __init__(self, path: Path) -> None:
        self._lines = LineFile(path)
        self.fit = ClockFit()

    def append(self, pair: Anchor) -> None:
        """One more pair."""
        self.fit.add(pair)
        document = {"sample_index": pair.sample_index, "t_mono_ns": pair.t_mono_ns, "t_utc": iso_utc(pair.t_utc_ns)}
        self._lines.append(document)

    def append_link(self, sample_index: int, pair: LinkPair) -> None:
        """One instant on this machine and on the one that the samples come from, of which `sample_index` was here."""
        document = {
            "sample_index": sample_index,
            "t_mono_ns": pair.t_mono_ns,
            "t_utc": iso_utc(pair.t_utc_ns),
            "source": {"t_mono_ns": pair.source_t_mono_ns, "t_utc": iso_utc(pair.source_t_utc_ns)},
            **link_facts(pair),
        }
        self._lines.append(document)

    def close(self) -> None:
        """Done."""
        self._lines.close()
