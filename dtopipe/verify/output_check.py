"""Recounts one output, and holds what is in it against the record and against other outputs.

It is judged by itself: what another one cannot give is not compared, and no fault of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import tee
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import DtopipeError, SinkError
from dtopipe.model.nulls import NullRange
from dtopipe.model.span import Gap, Span
from dtopipe.sinks.contract import OutputReader, OutputRows
from dtopipe.sinks.file.reader import FileReader
from dtopipe.sinks.registry import load_reader
from dtopipe.sinks.rows.block_stats import BlockSummaries
from dtopipe.verify.descriptions import description_problems, words_problems
from dtopipe.verify.findings import Comparison, Found, report_of
from dtopipe.verify.outputs import Output
from dtopipe.verify.raw_blocks import RawBlocks
from dtopipe.verify.readings_check import differing_readings
from dtopipe.verify.recount import Counted, Recount, joined, spans_of
from dtopipe.verify.reference import Reference, sound_batches
from dtopipe.verify.report import OutputReport, length
from dtopipe.verify.row_spans import RowSpans
from dtopipe.verify.summaries import Summaries
from dtopipe.verify.text_match import matched_text
from dtopipe.verify.text_writers import text_writer
from dtopipe.verify.time_check import TimeCheck
from dtopipe.verify.view_reference import ViewReference

_Reference: TypeAlias = Reference | ViewReference


@dataclass(slots=True)
class _Tally:
    """What has come of the rows of one channel of the long layout, or of all rows."""

    recount: Recount
    times: TimeCheck
    summaries: Summaries | None


def checked(output: Output, comparison: Comparison, on_rows: Callable[[int], None]) -> OutputReport:
    """The report of one output. Raises nothing."""
    if output.not_opened:
        return _not_read(output, f"not looked at: {output.not_opened}")
    try:
        load_reader(output.type)
    except SinkError as error:
        return _not_read(output, f"not looked at: {error.message}")
    try:
        return _checked(output, comparison, on_rows)
    except (DtopipeError, OSError) as error:
        return _not_read(output, f"cannot be read: {error}")
    except Exception as error:  # a plug-in's reader, or damage that nobody has thought of
        return _not_read(output, f"cannot be read: {type(error).__name__}: {error}")


def _not_read(output: Output, problem: str) -> OutputReport:
    return OutputReport(output.name, output.place, unreadable=True, problems=(problem,))


def _checked(output: Output, comparison: Comparison, on_rows: Callable[[int], None]) -> OutputReport:
    reader = output.reader()
    retained_from = output.retained_from()
    whole = Span(max(int(output.record["start"]), retained_from), int(output.record["stop"]))
    gaps = tuple(reader.gaps())
    found = Found()
    row_spans = RowSpans(output.stream.every, gaps, whole.stop)
    counted = _matched(output, reader, comparison, whole, gaps, on_rows)
    if counted is not None:
        damage_of_record = getattr(reader, "damage_of_record", None)
        found.damage += damage_of_record() if damage_of_record is not None else ()
    else:
        counted = _recounted(
            output, reader, _references(output, comparison, whole, gaps), whole, found, on_rows, row_spans
        )
        found.others += _told(words_problems, output, reader, found)
    if output.stream.polled and comparison.others:
        _compare_readings(output, comparison.others, found)
    found.others += _told(description_problems, output, reader, found)
    found.nulls = _nulls(output, reader, found)
    return report_of(output, comparison, whole, counted, gaps, found)


def _nulls(output: Output, reader: OutputReader, found: Found) -> Sequence[NullRange]:
    """Where the output says that values are null; of a raw file every sample says so itself."""
    if output.is_raw or not hasattr(reader, "nulls"):
        return ()
    try:
        nulls: Sequence[NullRange] = reader.nulls()
    except SinkError as error:
        found.damage.append(error.headline)
        return ()
    return nulls


def _matched(
    output: Output,
    reader: OutputReader,
    comparison: Comparison,
    whole: Span,
    gaps: Sequence[Gap],
    on_rows: Callable[[int], None],
) -> list[Counted] | None:
    """The counts of a text output that is byte for byte as its writer makes it of the raw file; None if it is not."""
    writer = text_writer(output)
    if writer is None or comparison.raw is None or not isinstance(reader, FileReader):
        return None
    if any(len(rows.sample_index) for rows in reader.rows_behind()):
        # Its writer was killed over them: they count too, and there is nothing that they could be held against.
        return None
    raw_output, raw = comparison.raw
    if None in _numbers_in(output, raw_output):
        return None
    spans = matched_text(writer, reader, raw, output.stream, whole, gaps, on_rows)
    if spans is None:
        return None
    n_rows = length(spans)
    return [Counted(n_rows, tuple(spans), (), 0)] * (1 if output.is_wide else len(output.stream.channels))


def _recounted(
    output: Output,
    reader: OutputReader,
    references: tuple[Sequence[_Reference], Sequence[_Reference]],
    whole: Span,
    found: Found,
    on_rows: Callable[[int], None],
    row_spans: RowSpans,
) -> list[Counted]:
    raw, others = references
    tallies: dict[int | None, _Tally] = {}
    blocks = _tables_of_blocks(output, reader)
    n_rows = 0
    for rows in sound_batches(reader, found.damage.append):
        if rows.channel not in tallies:
            tallies[rows.channel] = _tally(output, rows.channel, blocks)
        tally = tallies[rows.channel]
        tally.recount.add_rows(rows.sample_index, row_spans)
        there = _compare(rows, whole, raw, others, found)
        if not there.all():
            _check_times(output, tally, rows, ~there)
        if tally.summaries is not None:
            tally.summaries.add(rows)
        n_rows += len(rows.sample_index)
        on_rows(n_rows)
    found.times = joined([*found.times, *(span for tally in tallies.values() for span in tally.times.mistimed())])
    for tally in tallies.values():
        if tally.summaries is not None:
            found.has_summaries = True
            found.misstated = joined([*found.misstated, *tally.summaries.misstated()])
            failure = tally.summaries.failure
            if failure and not found.unread_summaries:
                found.unread_summaries, found.misstated = failure, [whole]
    found.failures += [f"{each.name}: {each.failure}" for each in (*raw, *others) if each.failure]
    keys = [None] if None in tallies or not tallies else range(len(output.stream.channels))
    return [tallies[key].recount.result() if key in tallies else Recount().result() for key in keys]


def _references(
    output: Output, comparison: Comparison, whole: Span, gaps: Sequence[Gap]
) -> tuple[list[_Reference], list[_Reference]]:
    raw: list[_Reference] = []
    if comparison.raw is not None and not output.has_all_samples:
        raw_output, blocks = comparison.raw
        raw.append(ViewReference(raw_output.name, output, blocks, whole, gaps))
    elif comparison.raw is not None:
        raw_output, blocks = comparison.raw
        raw.append(
            Reference(
                raw_output.name,
                blocks.rows,
                _numbers_in(output, raw_output),
                slack_ns=_slack_ns(output),
                finite_only=not output.holds_nonfinite(),
            )
        )
    others: list[_Reference] = []
    for other in comparison.others:
        utc_unit_ns = max(output.kind.utc_unit_ns, other.kind.utc_unit_ns) if output.stream.polled else 1
        others.append(
            Reference(
                other.name,
                partial(_rows_of, other),
                _numbers_in(output, other),
                utc_unit_ns,
                _slack_ns(output),
                finite_only=not (output.holds_nonfinite() and other.holds_nonfinite()),
            )
        )
    return raw, others


def _slack_ns(output: Output) -> int:
    """A raw file has the time of each chunk's first sample, rounded; its reader counts on from that, and rounds."""
    return 2 if output.is_raw else 0


def _rows_of(output: Output) -> Iterator[OutputRows]:
    if output.is_raw and output.path is not None:
        return RawBlocks(output.path, output.stream).rows()
    return sound_batches(output.reader(), lambda damage: None)


def _numbers_in(output: Output, other: Output) -> list[int | None]:
    """The number in another output's rows of each channel of one, or None where that has not got it."""
    names = [channel.name for channel in other.row_stream.channels]
    return [names.index(channel.name) if channel.name in names else None for channel in output.stream.channels]


def _tables_of_blocks(output: Output, reader: OutputReader) -> tuple[Iterator[BlockSummaries], ...]:
    """The summaries of its blocks, once for each channel of the long layout; none where it has no such table."""
    block_rows = getattr(reader, "block_rows", None)
    if block_rows is None or output.stream.polled or not output.has_all_samples:
        return ()
    table = output.topology.get("sinks", {}).get(output.name, {}).get("table_blocks", "blocks")
    # Read once: what one channel is ahead of another is kept, a few numbers a block.
    return tee(block_rows(table), 1 if output.is_wide else len(output.stream.channels))


def _tally(output: Output, channel: int | None, blocks: Sequence[Iterator[BlockSummaries]]) -> _Tally:
    stream = output.stream
    summaries = Summaries(blocks[channel or 0], channel, stream.samples_per_block) if blocks else None
    return _Tally(Recount(), TimeCheck(stream.clock, stream.samples_per_block), summaries)


def _compare(
    rows: OutputRows, whole: Span, raw: Sequence[_Reference], others: Sequence[_Reference], found: Found
) -> NDArray[np.bool_]:
    """Notes what is wrong; returns which rows were compared."""
    n = len(rows.sample_index)
    there, values, times = (np.zeros(n, dtype=bool) for _ in range(3))
    for reference in raw:
        compared = reference.compare(rows, whole)
        there, values, times = compared.there, compared.values, compared.times
    if others and not there.all():
        anywhere, all_values, all_times = np.zeros(n, bool), np.ones(n, bool), np.ones(n, bool)
        for reference in others:
            compared = reference.compare(rows, whole)
            anywhere |= compared.there
            all_values &= compared.values | ~compared.there
            all_times &= compared.times | ~compared.there
        further = anywhere & ~there
        values |= all_values & further
        times |= all_times & further
        there |= further
    for wrong, into in ((values, found.values), (times, found.times)):
        if wrong.any():
            into[:] = joined([*into, *spans_of(rows.sample_index[wrong])])
    if not there.all():
        found.uncompared = joined([*found.uncompared, *spans_of(rows.sample_index[~there])])
    return there


def _check_times(output: Output, tally: _Tally, rows: OutputRows, which: NDArray[np.bool_]) -> None:
    if not output.stream.polled:
        part: Any = slice(None) if which.all() else which
        tally.times.add(rows.sample_index[part], rows.t_mono_ns[part], rows.t_utc_ns[part])


def _told(
    problems_of: Callable[[Output, OutputReader], list[str]], output: Output, reader: OutputReader, found: Found
) -> list[str]:
    """What is besides the samples; where that cannot be read, the samples that can stay counted."""
    try:
        return problems_of(output, reader)
    except Exception as error:
        return [] if found.damage else [f"not all of it can be read: {error or type(error).__name__}"]


def _compare_readings(output: Output, others: Sequence[Output], found: Found) -> None:
    """The columns that are no numbers, too."""
    try:
        found.values = joined([*found.values, *differing_readings(output, others)])
    except Exception as error:
        # Where it is this output that cannot be read, its rows have told.
        found.failures.append(f"not every column: {error or type(error).__name__}")
