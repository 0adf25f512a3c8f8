"""`repair`: every output of an ended run that is not whole, refilled; then the records say what is there now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dtopipe.core.followed import known_end
from dtopipe.core.lifecycle import SinkState
from dtopipe.core.remedy import repair_from
from dtopipe.core.verdict import Verdict, VerdictState
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import utc_ns
from dtopipe.model.errors import DtopipeError, SinkError, SinkUnavailable, UsageError
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.repair.condition import (
    Mend,
    covered_to,
    goes_on_at,
    is_complete,
    is_damaged,
    is_spoilt,
    is_without_record,
    position_of,
    reach,
    span_to_hold,
    was_promised,
)
from dtopipe.repair.exclusive import alone_with
from dtopipe.repair.fetch import Fetched
from dtopipe.repair.mended import Mended, RepairReport, whole_of_parts
from dtopipe.repair.output import complete_replacement, continue_output, rewrite_output
from dtopipe.repair.raw_samples import raw_samples_of
from dtopipe.repair.reading_samples import ReadingSamples
from dtopipe.repair.records import repaired_record, up_to, with_end, with_overruns, with_the_rest
from dtopipe.repair.restoring import restored_record
from dtopipe.repair.sources import Refill, SampleSource
from dtopipe.repair.triggered import TriggeredRefill
from dtopipe.repair.value_samples import ValueSamples
from dtopipe.repair.view_rows import AnyRefill, ViewRefill
from dtopipe.verify.gaps import BOARD_CAUSES, board_gaps, gaps_are_whole, read_gaps, replace_gaps
from dtopipe.verify.mark_check import absent_marks
from dtopipe.verify.noted import noted_of_run
from dtopipe.verify.output_parts import in_parts
from dtopipe.verify.outputs import Output, outputs_of, raw_output
from dtopipe.verify.recount import joined, without
from dtopipe.verify.report import OutputReport
from dtopipe.verify.verify import verify_run
from dtopipe.wire.describe import stream_from


def repair_run(
    folder: RunFolder,
    names: Sequence[str],
    other: RunFolder | None = None,
    fetched: Fetched | None = None,
    on_progress: Callable[[str, int], None] = lambda doing, samples: None,
) -> RepairReport:
    """Refill the outputs `names` of a run that has ended, or every BLOCK output that is not whole.

    One that was detached is whole up to there; if it is named, it is completed to the end of the run.

    Samples come from the run's own raw files, then from those in `other`, a folder of the same run, or from what was
    `fetched` from another machine, then from other outputs. Of a run that was followed these may know a later end: to
    there it is completed. What nobody has stays a gap. Raises UsageError, SinkError; a second call goes on where this
    one stopped.
    """
    try:
        with alone_with(folder):
            return _Repair(folder, other, fetched, names, on_progress).run(names)
    except OSError as error:
        message = f"its records cannot be written: {error.strerror}"
        raise SinkError(folder.path, message, "free some space there, and call repair again") from error


class _Repair:
    def __init__(
        self,
        folder: RunFolder,
        other: RunFolder | None,
        fetched: Fetched | None,
        names: Sequence[str],
        on_progress: Callable[[str, int], None],
    ) -> None:
        self._folder = folder
        self._found = folder.read_record()
        self._record = with_the_rest(self._found, names)
        self._on_progress = on_progress
        self._others: list[Output] = []
        end = source_end = None if fetched is None else fetched.end
        if other is not None:
            record = other.read_record()
            if record["run_id"] != self._record["run_id"]:
                raise UsageError(f"{other.path} is of another run ({record['run_id']})", "name a copy of this run")
            self._others = outputs_of(other, record)
            end = record["acquired"]["end_sample_index"] if record.get("verdict") else None
            source_end = known_end(record)
        self._record = up_to(self._record, end, names, source_end)
        if self._is_interrupted:
            # What a power cut left may be more than could be read when the record was completed.
            self._record = with_end(self._record, max(map(reach, outputs_of(folder, self._record)), default=0))
        self._outputs = outputs_of(folder, self._record)
        self._raw: list[SampleSource] = []
        if self._record.get("stream"):
            whole = stream_from(self._record["stream"])
            self._raw += raw_samples_of(folder, self._outputs, whole)
            self._raw += raw_samples_of(other, self._others, whole) if other is not None else ()
        self._raw += fetched.samples if fetched is not None else ()
        self._has_further = other is not None or fetched is not None
        self._values: list[SampleSource] | None = None
        self._noted = noted_of_run(folder, self._record)

    def run(self, names: Sequence[str]) -> RepairReport:
        if self._record["sinks"] and not self._outputs:
            raise SinkError(self._folder.path, "its board never started: there is nothing to repair", "run it again")
        chosen = self._chosen(names)
        for output in chosen:
            for part in in_parts(output, self._folder.path):
                complete_replacement(part)
        reports = self._recounted()
        # Behind a hole that the power left there may be whole rows, further than any output is whole.
        furthest = max((covered_to(output, reports[output.name]) for output in self._outputs), default=0)
        if self._is_interrupted and furthest > self._record["acquired"]["end_sample_index"]:
            self._record = with_end(self._record, furthest)
            self._outputs = outputs_of(self._folder, self._record)
            chosen, reports = self._chosen(names), self._recounted()
        if quiet := self._quiet(chosen, reports):
            reports = self._recounted(quiet)
        mended = [self._all_mended(output, reports[output.name]) for output in chosen]
        positions = {output.name: found for output in self._outputs if (found := position_of(output)) is not None}
        of_board = self._board_gaps_now()
        record, gaps = repaired_record(
            with_overruns(self._record, of_board) if self._has_further else self._record,
            self._outputs,
            positions,
            {**read_gaps(self._folder.path / "gaps.jsonl"), None: of_board},
            mended=[each.name for each in mended if not each.failure],
        )
        path = self._folder.path / "gaps.jsonl"
        lacks = any(set(of) - set(read_gaps(path).get(name, [])) for name, of in gaps.items())
        if record != self._found or lacks or not gaps_are_whole(path):
            replace_gaps(self._folder.path / "gaps.jsonl", gaps)
            self._folder.write_record(record)
        verdict = _judged(record, mended)
        return RepairReport(
            str(self._folder.path), record.get("first_verdict", record["verdict"]), verdict, tuple(mended)
        )

    @property
    def _is_interrupted(self) -> bool:
        return VerdictState(self._record["verdict"]["state"]) is VerdictState.INTERRUPTED

    def _quiet(self, chosen: Sequence[Output], reports: Mapping[str, OutputReport]) -> dict[str, Sequence[Span]]:
        """What will be absent from each triggered output in parts: which parts it is to have follows from that."""
        found: dict[str, Sequence[Span]] = {}
        for output in chosen:
            if output.trigger is not None and output.part_samples:
                items = self._triggered(output, output.trigger).items(span_to_hold(output))
                found[output.name] = joined(item.span for item in items if isinstance(item, Gap))
        return found if any(list(reports[name].quiet) != list(spans) for name, spans in found.items()) else {}

    def _recounted(self, quiet: Mapping[str, Sequence[Span]] | None = None) -> dict[str, OutputReport]:
        """What is in each output, by its name."""
        checked = verify_run(
            self._folder, self._record, lambda name, rows, _: self._on_progress(f"recounting {name}", rows), quiet
        )
        return dict(zip((output.name for output in self._outputs), checked.outputs, strict=True))

    def _chosen(self, names: Sequence[str]) -> list[Output]:
        known = {output.name: output for output in self._outputs}
        unknown = [name for name in names if name not in known]
        if unknown:
            there = ", ".join(known) or "none"
            raise UsageError(f"there is no output {unknown[0]!r} in {self._folder.path}", f"its outputs: {there}")
        chosen = [known[name] for name in names] or [o for o in self._outputs if o.policy is Policy.BLOCK]
        # A raw file last: until then the others are refilled from it as it is.
        return sorted(chosen, key=lambda output: output.is_raw)

    def _all_mended(self, output: Output, report: OutputReport) -> Mended:
        """What became of an output, or of all parts of one that is split."""
        parts = in_parts(output, self._folder.path, report.quiet)
        if parts == [output]:
            return self._mended(output, report)
        return whole_of_parts(output, [self._mended(part, one) for part, one in zip(parts, report.parts, strict=True)])

    def _mended(self, output: Output, report: OutputReport) -> Mended:
        before = report.samples + report.retired
        as_before = Mended(output.name, "", 0, before, sum(map(len, report.gaps)), damage=report.damage)

        def tell(n_samples: int) -> None:
            self._on_progress(f"refilling {output.name}", n_samples)

        try:
            refill = self._refill(output, report)
            noted = replace(self._noted, marks=output.own_marks(self._noted.marks))
            restored = restored_record(output, report, self._gaps_of(output), noted)
            how = self._need(output, report, refill, is_restored=restored)
            if how in (Mend.NOTHING, Mend.RECORD):
                return replace(as_before, how=how.value)
            if how is Mend.CONTINUE:
                position, aside = continue_output(output, refill, noted, tell), None
            else:
                keep = bool(report.unreadable or report.damage or is_spoilt(report))
                # What is around no event does not stay.
                covered = without(report.covered, report.untimely)
                rewritten = rewrite_output(output, refill, noted, tell, covered, keep=keep)
                position, aside = rewritten.position, rewritten.aside
        except (DtopipeError, OSError) as error:
            return replace(as_before, how="not repaired", failure=str(error))
        return replace(
            as_before,
            how=how.value,
            added=position.samples - before,
            samples=position.samples,
            gaps=position.gap_samples,
            aside="" if aside is None else str(aside),
        )

    def _need(self, output: Output, report: OutputReport, refill: AnyRefill, *, is_restored: bool) -> Mend:
        """What this output needs. Raises SinkUnavailable if it is away, SinkError if nobody can say what is right."""
        whole = span_to_hold(output)
        try:
            reader = output.reader()
            position, all_gaps = reader.position(), reader.gaps()
        except SinkUnavailable:
            raise
        except (DtopipeError, OSError, ValueError) as error:
            return self._need_of_unreadable(output, refill, error)
        if report.unreadable:
            return self._need_of_unreadable(output, refill, report.problems[0])
        if is_damaged(output, report) and not report.covered and not is_restored and was_promised(output):
            # Nothing of it can be read, which is not the same as nothing being in it.
            return self._need_of_unreadable(output, refill, report.damage[0])
        self._ensure_somebody_is_right(output, report)
        # What was not to be there is not looked for.
        gaps = [gap.span for gap in all_gaps if gap.cause is not Cause.NOT_TRIGGERED]
        tail = Span(min(position.committed, whole.stop), whole.stop)
        missing = without(report.missing, gaps)
        lost = without(joined([*gaps, *missing]), [tail, Span(output.record["start"], whole.start)])
        obtainable = without(lost, without(lost, refill.available()))
        unnamed = without(missing, [tail])
        # Behind a hole at its last commit there may be whole rows: to go on there would cut them away.
        behind = without(report.covered, [Span(0, position.committed)])
        if (
            behind
            or is_without_record(output)
            or is_spoilt(report)
            or unnamed
            or obtainable
            or report.withheld
            or (is_damaged(output, report) and not is_restored)
        ):
            return Mend.REWRITE
        is_detached = output.record["state"] == SinkState.DETACHED
        lacks_marks = not is_detached and bool(absent_marks(output, output.own_marks(self._noted.marks)))
        if tail or lacks_marks or not is_complete(output, self._record):
            return Mend.CONTINUE if not tail or goes_on_at(output, tail.start, gaps) else Mend.REWRITE
        return Mend.RECORD if is_restored else Mend.NOTHING

    def _ensure_somebody_is_right(self, output: Output, report: OutputReport) -> None:
        """Raise SinkError where an output is unlike one other, and no third one says which of them is right."""
        by_raw = joined(span for source in self._raw if source.name != output.name for span in source.spans())
        rest = [other for other in self._outputs if other is not output and not other.is_raw]
        if without(report.differing, by_raw) and len(rest) < 2:
            raise SinkError(
                output.place,
                f"it differs from {report.compared_with}, and no third output says which of them is right",
                "keep both; name a copy of the run with --from",
            )

    def _gaps_of(self, output: Output) -> list[Gap]:
        """What is on record as absent from it, the surest first."""
        written = read_gaps(self._folder.path / "gaps.jsonl")
        return [*self._known_board_gaps(), *written.get(output.name, [])]

    def _need_of_unreadable(self, output: Output, refill: AnyRefill, why: object) -> Mend:
        """It is written anew. Raises SinkError where that would destroy what it may hold and nobody else has."""
        lacking = without(
            [span_to_hold(output)],
            [*refill.available(), *(gap.span for gap in self._known_board_gaps())],
        )
        if lacking and output.path is not None and output.path.exists():
            n_samples = sum(len(span) for span in lacking)
            raw = raw_output(self._outputs)
            begin = 0 if raw is None or raw is output else raw.retained_from()
            retained = f"; the journal is retained from sample {begin:,}" if begin else ""
            message = f"cannot be read ({why}), and nobody else has {n_samples} of its samples{retained}"
            raise SinkError(output.path, message, "keep it; name a copy of the run with --from, or move it away")
        return Mend.REWRITE

    def _refill(self, output: Output, report: OutputReport) -> AnyRefill:
        samples = self._samples_for(output, report)
        if output.has_all_samples:
            return samples
        return ViewRefill(output, samples, in_order=not (report.unreadable or is_spoilt(report)))

    def _samples_for(self, output: Output, report: OutputReport) -> Refill | TriggeredRefill:
        if output.trigger is not None:
            return self._triggered(output, output.trigger)
        sources: list[SampleSource] = list(self._raw)
        if report.differing:
            # What the others say is right, then.
            sources.sort(key=lambda source: source.name == output.name)
        refill = self._of(output, sources)
        # Other outputs are read for it only where the raw files leave something open.
        if without([span_to_hold(output)], refill.available()):
            values = sorted(self._value_sources(), key=lambda source: source.name == output.name)
            refill = self._of(output, [*sources, *values])
        return refill

    def _triggered(self, output: Output, trigger: TriggerPlan) -> TriggeredRefill:
        sources = sorted(self._raw, key=lambda source: source.name == output.name)
        own: SampleSource | None = next((source for source in sources if source.name == output.name), None)
        if own is None and output.stream.every == 1:
            with contextlib.suppress(DtopipeError, OSError, ValueError):
                own = ValueSamples(output)
        stream = stream_from(self._record["stream"])
        whole = replace(self._of(output, sources), stream=stream, as_codes=True)
        if without([span_to_hold(output)], whole.available()):
            values = sorted(self._value_sources(), key=lambda source: source.name == output.name)
            whole = replace(whole, sources=[*sources, *values])
        sink = self._record["sinks"][output.name]
        told = Span(int(sink["start"]), int(sink["stop"]))
        return TriggeredRefill(output, trigger, told, whole, own, [gap.span for gap in self._known_board_gaps()])

    def _of(self, output: Output, sources: Sequence[SampleSource]) -> Refill:
        own: list[Gap] = []
        with contextlib.suppress(DtopipeError, OSError, ValueError):
            own = list(output.reader().gaps())
        written = read_gaps(self._folder.path / "gaps.jsonl")
        of_sources = [gap for source in sources for gap in source.gaps() if gap.cause in BOARD_CAUSES]
        layers = [self._known_board_gaps(), _apart(of_sources), own, written.get(output.name, [])]
        return Refill(output.taken, output.as_codes, sources, layers, self._t_utc_ns_at)

    def _t_utc_ns_at(self, index: int) -> int:
        clock = stream_from(self._record["stream"]).clock
        anchor = next(filter(None, (source.anchor_near(index) for source in self._raw)), None)
        if anchor is None:
            return utc_ns(self._record["started_at"]) + clock.offset_ns(index)
        return anchor.t_utc_ns + clock.offset_ns(index - anchor.sample_index)

    def _known_board_gaps(self) -> list[Gap]:
        return board_gaps(self._folder.path / "gaps.jsonl", self._outputs)

    def _board_gaps_now(self) -> list[Gap]:
        """What the board lost, by all that is known, but for what somebody has after all: a link may have lost it."""
        known = self._known_board_gaps()
        if not self._has_further:
            return known
        further = [gap for source in self._raw for gap in source.gaps() if gap.cause in BOARD_CAUSES]
        there = joined(span for source in self._raw for span in source.spans())
        gaps: list[Gap] = []
        for gap in (*known, *further):
            absent = without(without([gap.span], there), [other.span for other in gaps])
            gaps += [
                Gap(span, gap.cause, self._t_utc_ns_at(span.start)) if span != gap.span else gap for span in absent
            ]
        return sorted(gaps)

    def _value_sources(self) -> list[SampleSource]:
        if self._values is None:
            self._values = []
            for output in (*self._outputs, *self._others):
                if output.is_raw or not output.has_all_samples:
                    continue
                self._on_progress(f"looking into {output.name}", 0)
                with contextlib.suppress(DtopipeError, OSError, ValueError):
                    kind = ReadingSamples if output.stream.polled else ValueSamples
                    self._values.append(kind(output))
        return self._values


def _judged(record: Mapping[str, Any], mended: Sequence[Mended]) -> Verdict:
    """The verdict on record, unless an output that could not be repaired makes it worse."""
    facts = record["verdict"]
    verdict = Verdict(VerdictState(facts["state"]), facts["text"], repair_from(facts.get("repair")))
    failed = "; ".join(f"{output.name}: {output.failure}" for output in mended if output.failure)
    if failed and verdict.state.exit_code < VerdictState.DEGRADED.exit_code:
        return Verdict(VerdictState.DEGRADED, failed, verdict.repair)
    return verdict


def _apart(gaps: Sequence[Gap]) -> list[Gap]:
    """The gaps without those that another source names too."""
    found: dict[Span, Gap] = {}
    for gap in gaps:
        found.setdefault(gap.span, gap)
    return sorted(found.values())
