"""A commit record made again from what is whole of an output, so that its writer can go on there.

After a power cut the record may be younger than the data behind it, older, torn or not there at all. Then nothing is
written anew that is whole: the record is made to say how far it is, and only what no record told of is cut away.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from dtopipe.host.durability import TO_SYNC, sync_bytes
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import SinkError
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.sinks.file.commit_record import CommitRecord
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.reader import record_of
from dtopipe.sinks.file.whole_part import Front
from dtopipe.verify.noted import Noted
from dtopipe.verify.outputs import Output, reach_of
from dtopipe.verify.recount import without
from dtopipe.verify.report import OutputReport
from dtopipe.wire.commit_snapshot import CommitSnapshot


def restored_record(output: Output, report: OutputReport, known: Sequence[Gap], noted: Noted) -> bool:
    """Make the commit record of an output say what is whole; True if it was made again.

    `known`: the gaps that are on record for it elsewhere, the surest first; `noted`: of the run, which an output has to
    have for being complete. Where its rows are not whole from its
    beginning up to a place behind which nothing is, nothing is done: it has to be written anew. Raises SinkError.
    """
    if not output.has_all_samples:
        # How many samples its last rows stand for is known to their writer alone.
        return False
    if output.path is None or report.unreadable or report.doubled or report.disordered or report.differing:
        return False
    snapshot, damage = record_of(output.path)
    if output.kind.commits_in_output:
        # Its tables say what is committed; the record beside it is lock and description.
        if damage:
            start = int(output.record["start"])
            CommitRecord.restore(output.path, output.stream, output.type, 0, Position(start, start, start), 0, (), b"")
        return bool(damage)
    reader = output.reader()
    if (
        not damage
        and not report.damage
        and reach_of(reader, int(output.record["start"]), is_view=False) == reader.position()
    ):
        return False
    front = getattr(reader, "front", lambda: None)()
    if not isinstance(front, Front) or (snapshot is not None and snapshot.stream.run_id != output.run_id):
        return False
    # Of an output in parts what is known of others does not count here.
    held = Span(int(output.record["start"]), front.stop)
    if held.stop < held.start:
        # Without a row nothing in it says where it begins.
        return False
    gaps = _gaps_within(held, [*reader.gaps(), *known], report.covered, output.stream.clock)
    begin = max(int(output.record["start"]), output.retained_from())
    whole = Span(begin, front.stop)
    if without([whole], [*report.covered, *(gap.span for gap in gaps)]) or without(report.covered, [whole]):
        return False
    position = _position(output, snapshot, front, gaps)
    data_path = front.path or output.path
    with sink_errors(data_path), data_path.open(TO_SYNC) as file:
        sync_bytes(file.fileno())
        is_all = os.fstat(file.fileno()).st_size == front.data_bytes
    origin = 0 if snapshot is None else snapshot.data_origin
    is_complete = is_all and front.stop >= int(output.record["stop"]) and not front.has_more
    is_complete = is_complete and not noted.is_lacking_in(reader)
    CommitRecord.restore(
        output.path, output.stream, output.type, origin, position, front.data_bytes, gaps, front.extra,
        closed=is_complete, nulls=() if snapshot is None else snapshot.nulls,
    )  # fmt: skip
    return True


def _gaps_within(held: Span, gaps: Sequence[Gap], covered: Sequence[Span], clock: SampleClock) -> list[Gap]:
    """What of the gaps is in this span and not there after all, each range as the first says that names it."""
    found: list[Gap] = []
    for gap in gaps:
        there = [*covered, *(other.span for other in found)]
        found += [gap.trimmed(span, clock) for span in without([gap.span.intersection(held)], there)]
    return sorted(found)


def _position(output: Output, snapshot: CommitSnapshot | None, front: Front, gaps: Sequence[Gap]) -> Position:
    start = int(output.record["start"])
    absent = sum(map(len, gaps))
    dropped = sum(len(gap) for gap in gaps if gap.cause is Cause.POLICY_DROP)
    retained_from = snapshot.position.retained_from if snapshot is not None else output.retained_from()
    if front.stop < start + absent:
        raise SinkError(output.path, "more is absent from it than it has", "name a copy of the run with --from")
    samples = front.stop - start - absent
    return Position(start, front.stop, front.stop, samples, absent, dropped, retained_from)
