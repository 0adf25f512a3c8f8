"""One output refilled: continued behind its last commit, or written anew in its place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.references import referred
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.repair.replacement import Replacement
from dtopipe.repair.view_rows import AnyRefill
from dtopipe.sinks.contract import OutputOptions, RetiringWriter, SinkWriter
from dtopipe.sinks.file.reader import record_of
from dtopipe.sinks.parts.whole_groups import WholeGroups
from dtopipe.sinks.registry import load_writer
from dtopipe.topology.recorded import recorded_options
from dtopipe.verify.noted import Noted
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import Recount, common, without
from dtopipe.verify.row_spans import RowSpans

# As much as a worker writes between two commits of a fast board: bounded memory, cheap commits.
_COMMIT_VALUES = 1_000_000
OnSamples = Callable[[int], None]


def continue_output(output: Output, refill: AnyRefill, noted: Noted, on_samples: OnSamples) -> Position:
    """Go on behind the last commit to the end of the run, and complete it. Raises SinkError."""
    writer = _writer(output, output.path, OnExists.ERROR)
    return _written(output, writer, output.stream, refill, noted, on_samples, resume=True)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """How far the new output is; `aside`: where the one is that was there, if it was kept."""

    position: Position
    aside: Path | None = None


def rewrite_output(
    output: Output, refill: AnyRefill, noted: Noted, on_samples: OnSamples, covered: Sequence[Span], *, keep: bool
) -> Rewritten:
    """Write it anew, and put that in the place of the old one, which stays as it is until then. Raises SinkError.

    `covered`: what is soundly in the old one: the new one is read back, and has all of that, or does not take its
    place. With `keep` the old one is moved aside then.
    """
    path = output.path
    if path is None:
        return Rewritten(_rewritten_in_database(output, refill, noted, on_samples, covered))
    replacement = Replacement(path, output.kind)
    replacement.ensure_replaceable()
    try:
        on_exists = _others_copied(output, replacement, keep=keep)
        writer = _writer(output, replacement.new_path, on_exists)
        position = _written(output, writer, output.stream, refill, noted, on_samples, resume=False)
        has_less = _has_less(output, replacement.new_path, covered)
    except BaseException:
        with contextlib.suppress(OSError):
            replacement.discard()
        raise
    return Rewritten(position, replacement.put_in_place(keep=keep or has_less))


def _has_less(output: Output, new_path: Path, covered: Sequence[Span]) -> bool:
    """Read back what was written anew. Raises SinkError if it has not all that the old one has.

    True of a view where a row of the old one stands for samples that nobody has any more: that one is kept aside.
    """
    reader = replace(output, path=new_path).reader()
    counts: dict[int | None, Recount] = {}
    gaps = reader.gaps()
    absent = [gap.span for gap in gaps]
    whole = Span(int(output.record["start"]), int(output.record["stop"]))
    row_spans = RowSpans(output.stream.every, gaps, whole.stop)
    for rows in reader.batches():
        counts.setdefault(rows.channel, Recount()).add_rows(rows.sample_index, row_spans)
    position = reader.position()
    there = common([count.result().covered for count in counts.values()])
    lost = without(without([span.intersection(whole) for span in covered], there), [Span(0, position.retained_from)])
    unnamed = without([Span(max(whole.start, position.retained_from), whole.stop)], [*there, *absent])
    if lost and not unnamed and not output.has_all_samples:
        return True
    if lost or unnamed:
        n_samples = sum(map(len, [*lost, *unnamed]))
        raise SinkError(
            output.path,
            f"what was written anew would lack {n_samples} samples",
            "it stays as it is; name a copy of the run with --from",
        )
    return False


def complete_replacement(output: Output) -> None:
    """Finish what an interrupted repair had begun to put in place, or clear it away. Raises SinkError."""
    if output.path is not None:
        Replacement(output.path, output.kind).complete()


def _rewritten_in_database(
    output: Output, refill: AnyRefill, noted: Noted, on_samples: OnSamples, covered: Sequence[Span]
) -> Position:
    """Under another id first; then one transaction takes the old rows out, and gives the new ones the run's id."""
    draft = replace(output.stream, run_id=f"{output.run_id} (repair)")
    writer = _writer(output, None, OnExists.OVERWRITE)
    take_over = getattr(writer, "take_over", None)
    if take_over is None:
        raise SinkError(
            output.place, f"a {output.type} output cannot be written anew", "convert the run into a new one"
        )
    position = _written(output, writer, draft, refill, noted, on_samples, resume=False)
    whole = Span(int(output.record["start"]), int(output.record["stop"]))
    if position.samples < sum(len(span.intersection(whole)) for span in covered):
        message = f"what was written anew would have {position.samples} samples, fewer than there are"
        raise SinkError(output.place, message, "it stays as it is; name a copy of the run with --from")
    take_over(draft.run_id, output.run_id)
    return position


def _writer(output: Output, path: Path | None, on_exists: OnExists) -> SinkWriter:
    """A writer with the layout and the options that the sink had in the run. Raises SinkError."""
    options: dict[str, Any] = recorded_options(output.topology, output.name, os.environ)
    # Nobody reads along any more.
    options.pop("journal", None)
    options.pop("retention", None)
    sink = output.topology.get("sinks", {}).get(output.name, {})
    layout = Layout(sink.get("layout", Layout.WIDE))
    return load_writer(output.type)(OutputOptions(path, layout, on_exists), **options)


def _written(
    output: Output,
    writer: SinkWriter,
    stream: Stream,
    refill: AnyRefill,
    noted: Noted,
    on_samples: OnSamples,
    *,
    resume: bool,
) -> Position:
    start, stop = int(output.record["start"]), int(output.record["stop"])
    try:
        position = writer.open(stream, start, resume=resume)
        # A part is written as it was in the run, whatever comes at a time here.
        append = WholeGroups(writer).append if output.part else writer.append
        if not resume and (retained_from := output.retained_from()) and isinstance(writer, RetiringWriter):
            position = _carried(output, writer, refill, retained_from)
        on_samples(position.committed - start)
        span = Span(position.committed, stop)
        waiting: list[Block | Gap | Readings] = []
        n_waiting = 0
        at = span.start
        for item in refill.items(span) if span else ():
            if item.span.start != at:
                raise SinkError(output.place, f"sample {at} is not where it was found before", "call repair again")
            at = item.span.stop
            waiting.append(item)
            n_waiting += 0 if isinstance(item, Gap) else item.n_samples
            if n_waiting * len(stream.channels) >= _COMMIT_VALUES:
                append(waiting)
                position = writer.commit()
                waiting, n_waiting = [], 0
                on_samples(position.committed - start)
        if at != max(span.start, stop):
            raise SinkError(output.place, f"sample {at} is not where it was found before", "call repair again")
        if waiting:
            append(waiting)
        noted.give(writer)
        position = writer.close()
    except BaseException:
        writer.abandon()
        raise
    on_samples(position.committed - start)
    return position


def _carried(output: Output, writer: RetiringWriter, refill: AnyRefill, retained_from: int) -> Position:
    """The account of what a journal has retired goes on in the one that is written anew, which begins behind it."""
    start = int(output.record["start"])
    retired = Span(start, retained_from)
    gaps: list[Gap] = []
    for gap in chain.from_iterable(refill.gaps):
        new = without([gap.span.intersection(retired)], [known.span for known in gaps])
        gaps += [gap.trimmed(span, output.stream.clock) for span in new]
    absent = sum(map(len, gaps))
    dropped = sum(len(gap) for gap in gaps if gap.cause is Cause.POLICY_DROP)
    position = Position(start, retained_from, retained_from, len(retired) - absent, absent, dropped, retained_from)
    return writer.carry(position, sorted(gaps))


def _others_copied(output: Output, replacement: Replacement, *, keep: bool) -> OnExists:
    """Where other runs are in the same file, they go into the new one first. Raises SinkError where that cannot be.

    With `keep`, the old file stays anyway.
    """
    path, new = replacement.path, replacement.new_path
    record, damage = record_of(path)
    if record is not None and record.stream.run_id != output.run_id:
        raise SinkError(
            path, f"it belongs to another run now ({record.stream.run_id})", "convert this run into a new one"
        )
    replacement.discard()
    copied = output.kind.other_runs
    try:
        if copied is not None and path.exists() and referred(copied)(path, new, output.run_id):
            return OnExists.APPEND
        if record is not None and record.data_origin:
            with path.open("rb") as old, new.open("wb") as file:
                _copy_front(old, file, record.data_origin)
            return OnExists.APPEND
        if record is None and damage and not keep and _may_have_others(output):
            message = "its commit record is lost, and other runs may be in the same file"
            raise SinkError(path, message, "move it away, and call repair again: it is written anew then")
    except OSError as error:
        raise SinkError(new, f"cannot be written: {error}", "free some space there, and call repair again") from error
    return OnExists.OVERWRITE


def _may_have_others(output: Output) -> bool:
    sink = output.topology.get("sinks", {}).get(output.name, {})
    return bool(sink.get("on_exists") == OnExists.APPEND)


def _copy_front(old: Any, new: Any, n_bytes: int) -> None:
    left = n_bytes
    while left and (piece := old.read(min(left, 2**20))):
        new.write(piece)
        left -= len(piece)
