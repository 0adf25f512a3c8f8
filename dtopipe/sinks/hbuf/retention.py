"""The complete segments of a raw output, of which the oldest go once they are durable elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtopipe.core.retention import Complete, segments_to_go
from dtopipe.model.errors import SinkError, WireError
from dtopipe.wire.dtraw import iter_chunk_headers
from dtopipe.wire.raw_files import RawState, segment_path, segments_of

ALL = "all"
UNTIL_DURABLE = {"until": "durable"}
# Whoever deletes does nothing else meanwhile: about a tenth of a second of a slow disk.
_DELETED_AT_ONCE_BYTES, _MOST_DELETED_AT_ONCE = 2**30, 64


def retires(retention: Mapping[str, Any] | str, segment_bytes: int | None, path: Path) -> bool:
    """True for `{until: durable}`, False for `all`. Raises SinkError for anything else, and without segments."""
    if retention == ALL:
        return False
    if retention != UNTIL_DURABLE:
        raise SinkError(path, f"retention cannot be {retention!r}", "write all, or {until: durable}")
    if segment_bytes is None:
        raise SinkError(path, "only whole segments are retired, and this is one file", "set segment, such as 1GiB")
    return True


class SegmentShelf:
    """Where each complete segment ends, and what is still to be deleted of those that were retired."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complete: list[Complete] = []
        self._retired: list[int] = []
        self._refused: set[int] = set()

    def take_over(self, state: RawState, committed: int) -> None:
        """What a predecessor has left: `state` at its last commit, which was at this sample index.

        Where a segment cannot be read, it ends where the next one that can begins: it stays the longer.
        """
        numbers = segments_of(self._path)
        self._retired = [number for number in numbers if 0 < number < state.first_segment]
        stop = committed
        ends: list[Complete] = []
        for number in reversed(numbers):
            if state.first_segment <= number < state.segment:
                ends.append(Complete(number, stop))
            if state.first_segment < number <= state.segment:
                begin = _first_sample_index(segment_path(self._path, number))
                stop = stop if begin is None else begin
        self._complete = ends[::-1]

    def completed(self, number: int, stop: int) -> None:
        """The segment ends here; the next one is written."""
        self._complete.append(Complete(number, stop))

    def to_go(self, settled: int) -> Complete | None:
        """The last of the segments that may go, all before it going with it; None if there is none."""
        return next(reversed(segments_to_go(self._complete, settled)), None)

    def retire(self, last: Complete) -> None:
        """It is on record, durably, that segments up to this one are retired."""
        self._retired += [each.number for each in self._complete if each.number <= last.number]
        self._complete = [each for each in self._complete if each.number > last.number]

    def delete(self) -> None:
        """Delete some of what was retired, oldest first; what cannot be deleted now is tried again the next time."""
        freed_bytes = 0
        for number in self._retired[:_MOST_DELETED_AT_ONCE]:
            file = segment_path(self._path, number)
            try:
                freed_bytes += file.stat().st_size
                file.unlink()
            except FileNotFoundError:
                pass
            except OSError as error:
                # On Windows somebody has it open; or the disk has become read-only.
                if number not in self._refused:
                    logging.warning("%s cannot be deleted now: %s", file, error)
                self._refused.add(number)
                return
            self._retired.remove(number)
            self._refused.discard(number)
            if freed_bytes >= _DELETED_AT_ONCE_BYTES:
                return


def _first_sample_index(file: Path) -> int | None:
    """The first sample index of the segment's first chunk; None where there is none, or it cannot be read."""
    try:
        for chunk, _ in iter_chunk_headers(file):
            return chunk.gap.span.start if chunk.gap else chunk.first_sample_index
    except (OSError, WireError):
        return None
    return None
