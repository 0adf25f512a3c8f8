"""`verify`: recounts every output of a run from the files themselves, and compares values and times where it can.

Nothing is trusted but rows: what is in an output is counted from its own sample indices, block by block against the
run record and the gaps that the output itself names. Values and times are those of the run's raw file, or, where that
has nothing, of two other outputs; the summaries of blocks are those of the values. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dtopipe.core.outcome import untriggered_in
from dtopipe.core.verdict import SinkOutcome, Verdict, VerdictState, judge_recorded
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_marks import marks_of
from dtopipe.model.errors import DtopipeError
from dtopipe.model.policy import Policy
from dtopipe.model.span import LOST_BY_BOARD, Gap, Span
from dtopipe.verify.findings import Comparison
from dtopipe.verify.gap_check import gaps_checked, run_inconsistencies
from dtopipe.verify.gaps import BOARD_CAUSES, board_gaps
from dtopipe.verify.mark_check import marks_checked
from dtopipe.verify.output_check import checked
from dtopipe.verify.output_parts import in_parts, together
from dtopipe.verify.outputs import Output, keeps_samples, outputs_of, raw_output
from dtopipe.verify.raw_blocks import RawBlocks
from dtopipe.verify.recount import common, without
from dtopipe.verify.report import OutputReport, RunReport, length
from dtopipe.verify.run_files import damaged_files
from dtopipe.verify.trigger_check import not_decided, quiet_of, trigger_checked

__all__ = ["OutputReport", "RunReport", "verify_run"]

OnProgress = Callable[[str, int, int], None]


def verify_run(
    folder: RunFolder,
    record: Mapping[str, Any],
    on_progress: OnProgress = lambda name, rows, expected: None,
    quiet: Mapping[str, Sequence[Span]] | None = None,
) -> RunReport:
    """Recount a run against its record. Raises WireError on a damaged one.

    `quiet`: what triggered outputs in parts are not to have, by their names, where that is known.
    `on_progress(output, rows so far, rows that the record lets expect)` shows progress.
    """
    outputs = outputs_of(folder, record)
    reports = _Reports(outputs, folder.path, on_progress, quiet or {}).all()
    gaps_path = folder.path / "gaps.jsonl"
    reports = [gaps_checked(report, output, record, gaps_path) for report, output in zip(reports, outputs, strict=True)]
    marks = marks_of(folder.path)
    reports = [marks_checked(report, output, record, marks) for report, output in zip(reports, outputs, strict=True)]
    gaps: dict[str | None, Sequence[Gap]] = {None: board_gaps(gaps_path, outputs)}
    gaps |= {report.name: report.gaps for report in reports}
    inconsistent = run_inconsistencies(record, reports, gaps_path)
    not_looked_at = _not_looked_at(record, outputs)
    return RunReport(
        folder=str(folder.path),
        recorded=record.get("verdict"),
        verdict=_verdict(record, outputs, reports, [*not_looked_at, *inconsistent]),
        outputs=tuple(reports),
        gaps=gaps,
        has_gaps_file=gaps_path.is_file(),
        not_looked_at=tuple(not_looked_at),
        handed_on=tuple(_handed_on(name, sink) for name, sink in _keeping_nothing(record).items()),
        damaged_files=tuple(damaged_files(folder.path)),
        inconsistent=tuple(inconsistent),
    )


class _Reports:
    """The report of each output; the raw file's comes first, for what it has not got others are asked for."""

    def __init__(
        self,
        outputs: Sequence[Output],
        folder: Path,
        on_progress: OnProgress,
        quiet: Mapping[str, Sequence[Span]],
    ) -> None:
        self._outputs = outputs
        self._folder = folder
        self._on_progress = on_progress
        self._quiet = quiet
        self._raw = raw_output(outputs)

    def all(self) -> list[OutputReport]:
        """The reports in the order of the outputs."""
        found: dict[str, OutputReport] = {}
        raw = self._raw
        if raw is not None:
            found[raw.name] = not_decided(self._checked(raw, Comparison()), raw)
        blocks, failure = self._raw_blocks(raw)
        raw_report = None if raw is None else found[raw.name]
        rest = [output for output in self._outputs if output is not raw]
        for output in rest:
            comparison = self._comparison(output, blocks, failure, raw_report)
            if blocks is None or raw_report is None:
                quiet = tuple(self._quiet.get(output.name, ()))
                report = replace(self._checked(output, comparison, quiet), quiet=quiet)
                found[output.name] = not_decided(report, output, failure)
                continue
            known = self._quiet.get(output.name)
            quiet = quiet_of(output, blocks, raw_report) if known is None else tuple(known)
            report = replace(self._checked(output, comparison, quiet), quiet=quiet)
            parts = in_parts(output, self._folder, quiet) if report.parts else []
            found[output.name] = trigger_checked(report, output, parts, blocks, raw_report)
        suspect = self._suspect([found[output.name] for output in rest])
        if raw is not None and suspect:
            # All others together have what it has not: it is the raw file that is judged by them.
            found[raw.name] = not_decided(self._checked(raw, Comparison(others=self._others(raw))), raw)
            is_other = bool(found[raw.name].differing)
            failure = f"{raw.name} is not as the others are" if is_other else "the run record is not as the outputs are"
            for output in rest:
                report = self._checked(output, self._comparison(output, None, failure, None))
                found[output.name] = not_decided(report, output, failure)
        return [found[output.name] for output in self._outputs]

    def _checked(self, output: Output, comparison: Comparison, quiet: Sequence[Span] = ()) -> OutputReport:
        n_channels = 1 if output.is_wide else len(output.stream.channels)
        expected = int(output.record["samples"]) * n_channels
        self._on_progress(output.name, 0, expected)
        parts = in_parts(output, self._folder, quiet)
        if parts == [output]:
            return checked(output, comparison, lambda rows: self._on_progress(output.name, rows, expected))
        reports: list[OutputReport] = []
        for part in parts:
            before = sum(report.rows for report in reports)
            told = partial(self._tell_of_part, output.name, before, expected)
            reports.append(checked(part, comparison, told))
        return together(output, parts, reports)

    def _tell_of_part(self, name: str, before: int, expected: int, rows: int) -> None:
        self._on_progress(name, before + rows, expected)

    def _raw_blocks(self, raw: Output | None) -> tuple[tuple[Output, RawBlocks] | None, str]:
        if raw is None or raw.path is None:
            return None, ""
        try:
            return (raw, RawBlocks(raw.path, raw.stream)), ""
        except (DtopipeError, OSError) as error:
            return None, f"{raw.name} cannot be read: {error}"

    def _comparison(
        self,
        output: Output,
        blocks: tuple[Output, RawBlocks] | None,
        failure: str,
        raw_report: OutputReport | None,
    ) -> Comparison:
        """What an output's samples are held against: the run's raw file; what that has not got, two of the others."""
        if blocks is None:
            return Comparison(None, self._others(output), failure=failure)
        whole = Span(int(output.record["start"]), int(output.record["stop"]))
        of_raw = raw_report.covered if raw_report is not None else ()
        absent = [gap.span for gap in raw_report.gaps if gap.cause in BOARD_CAUSES] if raw_report is not None else []
        lacking = without(without([whole], of_raw), absent)
        return Comparison(blocks, self._others(output) if lacking else ())

    def _others(self, output: Output) -> list[Output]:
        """Two that can be read, BLOCK outputs first."""
        rest = [other for other in self._outputs if other is not output and other is not self._raw]
        found = [other for other in rest if other.is_wide and other.has_all_samples and _is_readable(other)]
        if not output.has_all_samples:
            # Its rows are made of samples, and only a raw file has them all.
            return []
        found.sort(key=lambda other: other.policy is not Policy.BLOCK)
        return found[:2]

    def _suspect(self, reports: Sequence[OutputReport]) -> bool:
        """True if there are samples at which all others, and two at least, are unlike the raw file."""
        told = [report.differing for report in reports if not report.unreadable and report.compared_with]
        return len(told) > 1 and bool(common(told))


def _is_readable(output: Output) -> bool:
    try:
        output.reader().position()
    except Exception:  # a plug-in's reader may raise anything
        return False
    return True


def _not_looked_at(record: Mapping[str, Any], outputs: Sequence[Output]) -> list[str]:
    """Sinks whose output nobody can read back: they went to no file, and to no database that is known."""
    if not record.get("stream"):
        return []
    known = {output.name for output in outputs}
    return [
        f"{name} was not looked at: nothing says where it went"
        for name, sink in record["sinks"].items()
        if name not in known and keeps_samples(sink)
    ]


def _keeping_nothing(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The sinks that handed their samples on, by name."""
    return {name: sink for name, sink in record["sinks"].items() if not keeps_samples(sink)}


def _handed_on(name: str, sink: Mapping[str, Any]) -> str:
    return (
        f"{name} was not looked at: a sink of type {sink['type']} hands its samples on and keeps none; the run "
        f"recorded {int(sink['samples']):,} of {int(sink['stop']) - int(sink['start']):,}"
    )


def _as_recorded(name: str, sink: Mapping[str, Any]) -> SinkOutcome:
    """The report of a sink that handed its samples on."""
    return SinkOutcome(
        name=name,
        policy=Policy(sink["policy"]),
        start=int(sink["start"]),
        stop=int(sink["stop"]),
        samples=int(sink["samples"]),
        gaps=int(sink["gaps"]),
        failure=str(sink.get("failure", "")),
    )


def _verdict(
    record: Mapping[str, Any], outputs: Sequence[Output], reports: Sequence[OutputReport], faults: Sequence[str]
) -> Verdict:
    """The verdict of the outputs as they are, never better than what the record knows besides."""
    outcomes = []
    for output, report in zip(outputs, reports, strict=True):
        known = length([gap.span for gap in report.gaps])
        outcomes.append(
            SinkOutcome(
                name=output.name,
                policy=output.policy,
                start=output.record["start"],
                stop=output.record["stop"],
                samples=output.record["stop"] - output.record["start"] - known,
                gaps=known,
                failure="; ".join(report.problems) or str(output.record.get("failure", "")),
                overruns=sum(len(gap) for gap in report.gaps if gap.cause in LOST_BY_BOARD),
                absent=report.gaps,
                retained_from=report.retained_from,
                untriggered=untriggered_in(report.gaps),
            )
        )
    # What the run recorded is no finding: only what was wrong by then stays so.
    recorded_ones = [_as_recorded(name, sink) for name, sink in _keeping_nothing(record).items()]
    outcomes += [outcome for outcome in recorded_ones if outcome.failure or outcome.gaps or not outcome.adds_up]
    recorded = record.get("verdict") or {"state": VerdictState.INTERRUPTED.value, "text": ""}
    state = str(recorded["state"])
    verdict = judge_recorded(
        record,
        outcomes,
        aborted=recorded["text"] if state == VerdictState.ABORTED else "",
        interrupted=state == VerdictState.INTERRUPTED,
        repaired="first_verdict" in record,
    )
    if recorded_ones:
        names = ", ".join(outcome.name for outcome in recorded_ones)
        verdict = replace(verdict, text=f"{verdict.text}; not looked at, for they keep no samples: {names}")
    if not faults or verdict.state.exit_code > VerdictState.DEGRADED.exit_code:
        return verdict
    also = [verdict.text] if verdict.state is VerdictState.DEGRADED else []
    return Verdict(VerdictState.DEGRADED, "; ".join([*also, *faults]))
