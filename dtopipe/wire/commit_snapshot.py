"""What a commit record says now, read without its lock, also while it is written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from dtopipe.model.errors import WireError
from dtopipe.model.nulls import NullRange
from dtopipe.model.position import Position
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Stream
from dtopipe.wire.commit_bytes import header_in, state_in, whole_entries_in

SUFFIX = ".dtopipe"
# Letters of a name that stands for a run's id, which may be no name of a file.
_NAMED = 16
# Two commits during one read tear both records; three times in a row that is damage.
_TORN_READS = 2


def record_path(path: Path) -> Path:
    """Where the commit record of an output is."""
    return path.with_name(path.name + SUFFIX)


def earlier_record_path(path: Path, run_id: str) -> Path:
    """Where the commit record of a run is kept, once another one was appended to its output."""
    return path.with_name(f"{path.name}.{sha256(run_id.encode(errors='replace')).hexdigest()[:_NAMED]}{SUFFIX}")


def earlier_suffixes(path: Path) -> list[str]:
    """What the records that were kept of earlier runs have behind the output's name. Raises OSError."""
    suffix = re.compile(rf"{re.escape(path.name)}(\.[0-9a-f]{{{_NAMED}}}{re.escape(SUFFIX)})")
    with contextlib.suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        return [found[1] for entry in entries if (found := suffix.fullmatch(entry.name))]
    return []


@dataclass(frozen=True, slots=True)
class CommitSnapshot:
    """What a commit record says. `data_origin`: where in the output this run's data begin, in bytes.

    `durable_bytes`: length of the output at its last sync. `gaps`: of the `n_gaps` that it counts those that are whole.
    `nulls`: where values are null though the board gave a sample.
    """

    sink_type: str
    stream: Stream
    data_origin: int
    position: Position
    data_bytes: int
    closed: bool
    extra: bytes
    gaps: tuple[Gap, ...]
    n_gaps: int = 0
    durable_bytes: int = 0
    nulls: tuple[NullRange, ...] = ()


def read_snapshot(path: Path) -> CommitSnapshot | None:
    """The record of the output at `path`; None if there is none. Raises WireError if it is damaged, OSError."""
    found = read_whole_part(path)
    if found is not None and len(found.gaps) < found.n_gaps:
        raise WireError(f"gap {len(found.gaps)} of {found.n_gaps} is torn")
    return found


def read_whole_part(path: Path, run_id: str | None = None) -> CommitSnapshot | None:
    """As `read_snapshot`, but a list of gaps that is cut or torn is read up to there: see `n_gaps`.

    With `run_id` the record of that run, if another one was appended to its output; else what the output's own says.
    """
    for _ in range(_TORN_READS):
        with contextlib.suppress(WireError):
            found = _snapshot(record_path(path))
            if found is not None and run_id not in (None, found.stream.run_id):
                found = _snapshot(earlier_record_path(path, str(run_id))) or found
            if found is None or len(found.gaps) == found.n_gaps:
                return found
    return _snapshot(record_path(path))


def _snapshot(place: Path) -> CommitSnapshot | None:
    try:
        data = place.read_bytes()
    except FileNotFoundError:
        return None
    header = header_in(data)
    if header is None:
        return None
    state = state_in(header, data)
    entries = whole_entries_in(data[header.gaps_at :], state.n_gaps)
    nulls = [each for each in entries if isinstance(each, NullRange)]
    return CommitSnapshot(
        sink_type=header.sink_type,
        stream=header.stream,
        data_origin=header.data_origin,
        position=state.position,
        data_bytes=state.data_bytes,
        closed=state.closed,
        extra=state.extra,
        gaps=committed_gaps([each for each in entries if isinstance(each, Gap)], state.position),
        n_gaps=state.n_gaps - len(nulls),
        durable_bytes=state.durable_bytes,
        nulls=committed_nulls(nulls, state.position),
    )


def committed_gaps(gaps: Sequence[Gap], position: Position) -> tuple[Gap, ...]:
    """As the position has them: the last one may have grown for a commit that did not come about."""
    if not gaps or gaps[-1].span.stop <= position.committed:
        return tuple(gaps)
    last = gaps[-1]
    return *gaps[:-1], replace(last, span=Span(last.span.start, max(last.span.start, position.committed)))


def committed_nulls(nulls: Sequence[NullRange], position: Position) -> tuple[NullRange, ...]:
    """As the position has them: an entry that grew for a commit that did not come about is too long."""
    found = (each.before(position.committed) for each in nulls)
    return tuple(each for each in found if each is not None)
