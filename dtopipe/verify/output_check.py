"""Recounts one output, and holds what is in it against the record and against other outputs.

It is judged by itself: what another one cannot give is not compared, and no fault of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import DtopipeError, SinkError
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Channel
from dtopipe.sinks.base import OutputReader, OutputRows
from dtopipe.sinks.block_stats import BlockSummaries
from dtopipe.sinks.file_reader import FileReader
from dtopipe.sinks.registry import load_reader
from dtopipe.verify.outputs import Output
from dtopipe.verify.raw_blocks import RawBlocks
from dtopipe.verify.readings_check import differing_readings
from dtopipe.verify.recount import Counted, Recount, common, joined, spans_of, without
from dtopipe.verify.reference import Reference, sound_batches
from dtopipe.verify.report import OutputReport, length, listed
from dtopipe.verify.summaries import Summaries
from dtopipe.verify.text_match import matched_text
from dtopipe.verify.text_words import misworded
from dtopipe.verify.text_writers import TEXT_TYPES, text_writer
from dtopipe.verify.time_check import TimeCheck

# What a database of ours keeps a timestamp of a reading in.
_POSTGRES_UTC_UNIT_NS = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an output is held against.

    `raw`: the run's raw file, with what can be read of it. `others`: where it has nothing, all of which must disagree;
    `lacking`: the samples that it has not got.
    """

    raw: tuple[Output, RawBlocks] | None = None
    others: Sequence[Output] = ()
    lacking: Sequence[Span] = ()
    # Why there is no raw file to compare with, though the run has one.
    failure: str = ""


@dataclass(slots=True)
class _Tally:
    """What has come of the rows of one channel of the long layout, or of all rows."""

    recount: Recount
    times: TimeCheck
    summaries: Summaries | None


@dataclass(slots=True)
class _Found:
    """What was found wrong, or could not be looked at; spans in order."""

    values: list[Span] = field(default_factory=list)
    times: list[Span] = field(default_factory=list)
    uncompared: list[Span] = field(default_factory=list)
    misstated: list[Span] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    has_summaries: bool = False
    unread_summaries: str = ""
    others: list[str] = field(default_factory=list)


def checked(output: Output, comparison: Comparison, on_rows: Callable[[int], None]) -> OutputReport:
    """The report of one output. Raises nothing."""
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
    found = _Found()
    counted = _matched(output, reader, comparison, whole, gaps, on_rows)
    if counted is not None:
        damage_of_record = getattr(reader, "damage_of_record", None)
        found.damage += damage_of_record() if damage_of_record is not None else ()
    else:
        counted = _recounted(output, reader, comparison, whole, found, on_rows)
        found.others += _words_problems(output, reader)
    if output.stream.polled and comparison.others:
        _compare_readings(output, comparison.others, found)
    found.others += _description_problems(output, reader)
    return _report(output, comparison, whole, counted, gaps, found)


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
    raw_output, raw = comparison.raw
    numbers = [number for number in numbers_in(output, raw_output) if number is not None]
    if len(numbers) != len(output.stream.channels):
        return None
    spans = matched_text(writer, reader, raw, output.stream, numbers, whole, gaps, on_rows)
    if spans is None:
        return None
    n_rows = length(spans)
    return [Counted(n_rows, tuple(spans), (), 0)] * (1 if output.is_wide else len(numbers))


def _recounted(
    output: Output,
    reader: OutputReader,
    comparison: Comparison,
    whole: Span,
    found: _Found,
    on_rows: Callable[[int], None],
) -> list[Counted]:
    raw, others = _references(output, comparison)
    tallies: dict[int | None, _Tally] = {}
    blocks = _tables_of_blocks(output, reader)
    n_rows = 0
    for rows in sound_batches(reader, found.damage.append):
        if rows.channel not in tallies:
            tallies[rows.channel] = _tally(output, rows.channel, blocks)
        tally = tallies[rows.channel]
        tally.recount.add(rows.sample_index)
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


def _references(output: Output, comparison: Comparison) -> tuple[list[Reference], list[Reference]]:
    raw = []
    if comparison.raw is not None:
        raw_output, blocks = comparison.raw
        raw.append(
            Reference(
                raw_output.name,
                blocks.rows,
                numbers_in(output, raw_output),
                slack_ns=_slack_ns(output),
                finite_only=output.type == "jsonl",
            )
        )
    others = []
    for other in comparison.others:
        coarse = output.stream.polled and "postgres" in (output.type, other.type)
        others.append(
            Reference(
                other.name,
                partial(_rows_of, other),
                numbers_in(output, other),
                _POSTGRES_UTC_UNIT_NS if coarse else 1,
                _slack_ns(output),
                finite_only="jsonl" in (output.type, other.type),
            )
        )
    return raw, others


def _slack_ns(output: Output) -> int:
    """A raw file has the time of each chunk's first sample, rounded; its reader counts on from that, and rounds."""
    return 2 if output.type == "hbuf" else 0


def _rows_of(output: Output) -> Iterator[OutputRows]:
    if output.type == "hbuf" and output.path is not None:
        return RawBlocks(output.path, output.stream).rows()
    return sound_batches(output.reader(), lambda damage: None)


def numbers_in(output: Output, other: Output) -> list[int | None]:
    """For each channel of an output, its number in the other one, or None where that has not got it."""
    names = [channel.name for channel in other.stream.channels]
    return [names.index(channel.name) if channel.name in names else None for channel in output.stream.channels]


def _tables_of_blocks(output: Output, reader: OutputReader) -> tuple[Iterator[BlockSummaries], ...]:
    """The summaries of its blocks, once for each channel of the long layout; none where it has no such table."""
    block_rows = getattr(reader, "block_rows", None)
    if block_rows is None or output.stream.polled:
        return ()
    table = output.topology.get("sinks", {}).get(output.name, {}).get("table_blocks", "blocks")
    # Read once: what one channel is ahead of another is kept, a few numbers a block.
    return tee(block_rows(table), 1 if output.is_wide else len(output.stream.channels))


def _tally(output: Output, channel: int | None, blocks: Sequence[Iterator[BlockSummaries]]) -> _Tally:
    stream = output.stream
    summaries = Summaries(blocks[channel or 0], channel, stream.samples_per_block) if blocks else None
    return _Tally(Recount(), TimeCheck(stream.clock, stream.samples_per_block), summaries)


def _compare(
    rows: OutputRows, whole: Span, raw: Sequence[Reference], others: Sequence[Reference], found: _Found
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


def _compare_readings(output: Output, others: Sequence[Output], found: _Found) -> None:
    """The columns that are no numbers, too."""
    try:
        found.values = joined([*found.values, *differing_readings(output, others)])
    except Exception as error:
        # Where it is this output that cannot be read, its rows have told.
        found.failures.append(f"not every column: {error or type(error).__name__}")


def _words_problems(output: Output, reader: OutputReader) -> list[str]:
    """What is wrong with the words of a text output, whose numbers were looked at."""
    if output.type not in TEXT_TYPES or output.stream.polled or not isinstance(reader, FileReader):
        return []
    n_lines, first = misworded(
        reader.path, output.type, output.stream, reader.start, reader.stop, is_long=not output.is_wide
    )
    if not n_lines:
        return []
    return [f"words in {n_lines} of its lines are not those of the run's channels, first in line {first}"]


def _description_problems(output: Output, reader: OutputReader) -> list[str]:
    """What an output says of its channels that the run record says otherwise."""
    if output.type == "hbuf" and output.path is not None:
        told: Sequence[Channel] = RawBlocks(output.path).stream.channels
    else:
        describe = getattr(reader, "channels", None)
        told = () if describe is None else describe()
    if not told or not all(isinstance(channel, Channel) for channel in told):
        return []
    if [channel.name for channel in told] != [channel.name for channel in output.stream.channels]:
        return ["it names other channels than the run record"]
    wrong = [
        own.name
        for own, channel in zip(told, output.stream.channels, strict=True)
        if (own.unit, _scaling(own)) != (channel.unit, _scaling(channel))
    ]
    return [f"unit or scale are not those of the run record: {', '.join(wrong)}"] if wrong else []


def _scaling(channel: Channel) -> tuple[float, float]:
    """From code to value; that of a raw channel is its code."""
    return (1.0, 0.0) if channel.is_raw else (channel.scale, channel.offset)


def _report(
    output: Output,
    comparison: Comparison,
    whole: Span,
    counted: Sequence[Counted],
    gaps: tuple[Gap, ...],
    found: _Found,
) -> OutputReport:
    """Hold what was counted against the record, and against the output's own gaps."""
    record = output.record
    absent = [gap.span for gap in gaps]
    expected = without([whole], absent)
    missing = joined(span for one in counted for span in without(expected, one.covered))
    unexpected = joined(span for one in counted for span in without(one.covered, expected))
    doubled = joined(span for one in counted for span in one.doubled)
    covered = common([one.covered for one in counted])
    samples = min((one.samples for one in counted), default=0)
    retired = length(without([Span(int(record["start"]), whole.start)], absent))
    with_what = _compared_with(comparison, found)
    problems = list(found.damage)
    if missing:
        problems.append(f"{length(missing)} samples are neither in it nor in a gap: {listed(missing)}")
    if unexpected:
        problems.append(f"{length(unexpected)} samples are in it that should not be: {listed(unexpected)}")
    if doubled:
        problems.append(f"{length(doubled)} samples stand in it twice: {listed(doubled)}")
    if any(one.disordered for one in counted):
        problems.append("its rows are not in order")
    others = with_what.replace(" or ", " and ")
    if found.values:
        problems.append(f"{length(found.values)} samples differ from {others}: {listed(found.values)}")
    if found.times:
        than = f"times differ from {others}" if others else "times are not those of the sample clock"
        problems.append(f"{than}: {listed(found.times)}")
    if found.unread_summaries:
        problems.append(f"its table of blocks cannot be read: {found.unread_summaries}")
    elif found.misstated:
        problems.append(f"summaries in its table of blocks are not those of its samples: {listed(found.misstated)}")
    problems += found.others
    if samples + retired != record["samples"]:
        problems.append(f"it holds {samples} samples, the run record says {record['samples'] - retired}")
    return OutputReport(
        name=output.name,
        path=output.place,
        rows=sum(one.rows for one in counted),
        samples=samples,
        gaps=gaps,
        covered=tuple(covered),
        missing=tuple(missing),
        doubled=tuple(doubled),
        unexpected=tuple(unexpected),
        differing=tuple(joined([*found.values, *found.times])),
        mistimed=tuple(found.times),
        misstated=tuple(found.misstated),
        disordered=any(one.disordered for one in counted),
        compared_with=with_what or None,
        not_compared=_not_compared(comparison, found, covered),
        has_summaries=found.has_summaries,
        retained_from=output.retained_from(),
        retired=retired,
        damage=tuple(found.damage),
        problems=tuple(problems),
    )


def _compared_with(comparison: Comparison, found: _Found) -> str:
    """The names of what it was held against, as in a sentence."""
    names = " or ".join(other.name for other in comparison.others)
    if comparison.raw is None:
        return names
    raw = comparison.raw[0].name
    if not names:
        return raw
    begin = comparison.raw[0].retained_from()
    where = f"before sample {begin:,}" if begin else "where that has nothing"
    return f"{raw}, {where} {names}"


def _not_compared(comparison: Comparison, found: _Found, covered: Sequence[Span]) -> str | None:
    reasons = [comparison.failure, *found.failures]
    why = "; ".join(reason for reason in reasons if reason)
    rest = common([found.uncompared, covered])
    if not rest or not (why or comparison.raw or comparison.others):
        return why or None
    where = "" if rest == list(covered) else f"{listed(rest)}, "
    return f"{where}{why or 'nobody else has them'}"
