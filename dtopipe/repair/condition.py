"""The condition of one output of an ended run: how far it is, and what is wrong with it that is to be mended."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from dtopipe.core.lifecycle import SinkState
from dtopipe.core.verdict import VerdictState
from dtopipe.model.errors import DtopipeError
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Gap, Span
from dtopipe.sinks.file.commit_record import read_commit_record
from dtopipe.sinks.file.reader import record_of
from dtopipe.verify.outputs import Output, reach_of
from dtopipe.verify.report import OutputReport
from dtopipe.wire.raw_files import segments_of


class Mend(Enum):
    """What is to be done about an output."""

    NOTHING = "whole"
    RECORD = "commit record made again"
    CONTINUE = "continued"
    REWRITE = "written anew"


def span_to_hold(output: Output) -> Span:
    """What is to be in it: all, but for what a journal has retired."""
    return Span(max(output.record["start"], output.retained_from()), output.record["stop"])


def position_of(output: Output) -> tuple[Position, list[Gap]] | None:
    """How far it is, whole rows behind its last commit included, and its gaps; None where it cannot be read."""
    with contextlib.suppress(DtopipeError, OSError, ValueError):
        reader = output.reader()
        start, is_view = int(output.record["start"]), not output.has_all_samples
        return reach_of(reader, start, is_view=is_view), list(reader.gaps())
    return None


def reach(output: Output) -> int:
    """How far a BLOCK output is that was to go on to the end; 0 for any other, and where nothing says so."""
    found = position_of(output) if is_to_be_whole(output) else None
    return 0 if found is None else found[0].committed


def covered_to(output: Output, report: OutputReport) -> int:
    """The index up to which such an output has samples, whatever it lacks before."""
    return report.covered[-1].stop if is_to_be_whole(output) and report.covered else 0


def is_to_be_whole(output: Output) -> bool:
    """True for a BLOCK output that was to go on to the end of the run."""
    return output.policy is Policy.BLOCK and output.record["state"] != SinkState.DETACHED


def goes_on_at(output: Output, index: int, gaps: Sequence[Span]) -> bool:
    """False for a view whose last row stands for a part of its window only, though nothing is absent behind it."""
    is_cut_short = index % output.stream.every != 0 and all(span.stop != index for span in gaps)
    return output.has_all_samples or not is_cut_short


def is_spoilt(report: OutputReport) -> bool:
    """True if what is in it is not what should be."""
    is_out_of_place = report.disordered or report.doubled or report.unexpected or report.untimely
    return bool(is_out_of_place or report.differing or report.misstated)


def was_promised(output: Output) -> bool:
    """True if samples of it were durable once."""
    snapshot = None if output.path is None else record_of(output.path)[0]
    told = output.record["durable"] if snapshot is None else snapshot.position.durable
    return int(told) > int(output.record["start"])


def is_without_record(output: Output) -> bool:
    """True for a file that a power cut left without the record by which its writer would go on."""
    path = output.path
    if path is None or output.kind.commits_in_output or not path.parent.is_dir():
        return False
    is_there = path.exists() or (output.is_raw and segments_of(path) != [0])
    return is_there and record_of(path)[0] is None


def is_damaged(output: Output, report: OutputReport) -> bool:
    """True if there are places in it that cannot be read; its commit record is another matter."""
    of_record = record_of(output.path)[1] if output.path is not None else []
    return bool(set(report.damage) - set(of_record))


def is_complete(output: Output, record: Mapping[str, Any]) -> bool:
    """True if it was closed in order; a database's rows are the same either way."""
    if output.path is not None:
        with contextlib.suppress(DtopipeError):
            snapshot = read_commit_record(output.path)
            if snapshot is not None and snapshot.closed:
                return True
    return output.kind.complete_unclosed and record["verdict"]["state"] != VerdictState.INTERRUPTED
