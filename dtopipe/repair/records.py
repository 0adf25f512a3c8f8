"""What a run record says once outputs were repaired."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from dtopipe.boards.registry import known_board_type
from dtopipe.core.lifecycle import SinkState, condition_of, lacks
from dtopipe.core.outcome import SinkOutcome, untriggered_in
from dtopipe.core.row_count import RowShape, rows_of
from dtopipe.core.verdict import VerdictState, judge_recorded
from dtopipe.model.clock import SampleClock
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import LOST_BY_BOARD, Gap, Span
from dtopipe.verify.outputs import Output

Found = Mapping[str, tuple[Position, list[Gap]]]


def with_the_rest(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The record, in which detached sinks that are named are to go on to the end of the run."""
    new = copy.deepcopy(dict(record))
    for name in names:
        sink = new["sinks"].get(name)
        if sink is not None and sink["state"] == SinkState.DETACHED:
            _go_on(sink, new["acquired"]["end_sample_index"])
    return new


def up_to(
    record: Mapping[str, Any], end: int | None, names: Sequence[str], source_end: int | None = None
) -> dict[str, Any]:
    """The record of a run that was followed on another machine, of which there is more now, up to `end`.

    What is to be whole, or is named, is to go on to there. Any other run's record stays as it is. `source_end`: where
    the run has ended on its own machine, if that is known now.
    """
    new = copy.deepcopy(dict(record))
    before = new["acquired"]["end_sample_index"]
    board = new["topology"].get("board", {})
    if end is None or not known_board_type(board.get("type")).follows:
        return new
    if source_end is not None:
        new["source"] = {**(new.get("source") or {}), "end_sample_index": source_end}
    if end <= before:
        return new
    new["acquired"]["end_sample_index"] = end
    new["acquired"]["samples"] += end - before
    for name, sink in new["sinks"].items():
        if sink["stop"] == before and (name in names or sink["policy"] == Policy.BLOCK):
            _go_on(sink, end)
    return new


def with_end(record: Mapping[str, Any], end: int) -> dict[str, Any]:
    """The record of a run of which outputs have more than it says, up to `end`; any other stays as it is."""
    new = copy.deepcopy(dict(record))
    before = new["acquired"]["end_sample_index"]
    if end > before:
        new["acquired"]["end_sample_index"] = end
        new["acquired"]["samples"] += end - before
        for sink in new["sinks"].values():
            if sink["stop"] == before and sink["state"] != SinkState.DETACHED:
                _go_on(sink, end)
    return new


def with_overruns(record: Mapping[str, Any], of_board: Sequence[Gap]) -> dict[str, Any]:
    """The record with what the board lost by these gaps."""
    new = copy.deepcopy(dict(record))
    acquired = new["acquired"]
    lost = sum(map(len, of_board))
    first = acquired.get("first_sample_index", 0)
    acquired |= {"overrun_samples": lost, "samples": acquired["end_sample_index"] - first - lost}
    return new


def _go_on(sink: dict[str, Any], end: int) -> None:
    sink |= {"state": "interrupted", "stop": end, "gaps": sink["gaps"] + end - sink["stop"]}


def repaired_record(
    record: Mapping[str, Any],
    outputs: Sequence[Output],
    found: Found,
    written: Mapping[str | None, Sequence[Gap]],
    mended: Sequence[str],
) -> tuple[dict[str, Any], dict[str | None, list[Gap]]]:
    """The record after a repair, and every gap of the board (None) and of each sink.

    `found`: what outputs say of themselves now; `written`: the gaps that are on record; `mended`: the outputs that hold
    all that anybody has. The first verdict is kept; being interrupted or aborted is over once no BLOCK output is left.
    """
    new = copy.deepcopy(dict(record))
    gaps = {sink: list(of) for sink, of in written.items()}
    outcomes = []
    for output in outputs:
        sink = new["sinks"][output.name]
        if output.name in found:
            position, own = found[output.name]
            _update(sink, position, own, is_mended=output.name in mended)
            gaps[output.name] = [*own, *_of_tail(sink, gaps.get(output.name, []), output.stream.clock)]
            if "untriggered" in sink:
                sink["untriggered"] = untriggered_in(gaps[output.name])
        outcomes.append(_outcome(output.name, output.policy, sink, gaps.get(output.name, [])))
    first = record.get("first_verdict") or record["verdict"]
    blocking = [output.name for output in outputs if output.policy is Policy.BLOCK]
    left = [name for name in blocking if not _is_settled(new, name, mended)]
    state = record["verdict"]["state"] if left else ""
    verdict = judge_recorded(
        new,
        outcomes,
        aborted=record["verdict"]["text"] if state == VerdictState.ABORTED else "",
        interrupted=state == VerdictState.INTERRUPTED,
        repaired="first_verdict" in record or first["state"] != VerdictState.GOOD or new["sinks"] != record["sinks"],
    )
    if new["sinks"] != record["sinks"] or verdict.state.value != record["verdict"]["state"]:
        new["first_verdict"] = first
        new["verdict"] = verdict.facts()
    return new, gaps


def _update(sink: dict[str, Any], position: Position, own: Sequence[Gap], *, is_mended: bool) -> None:
    """Bring one sink's facts up to date."""
    tail = max(0, sink["stop"] - position.committed)
    sink |= {
        "start": position.start,
        "committed": position.committed,
        "durable": position.durable,
        "samples": position.samples,
        "rows": rows_of(RowShape.recorded(sink), position, own),
        "gaps": position.gap_samples + tail,
        "dropped": position.dropped,
        **({"retained_from": position.retained_from} if "retained_from" in sink else {}),
    }
    if is_mended and not tail and sink["state"] != SinkState.DETACHED:
        sink["state"] = SinkState.DONE.value
        sink.pop("failure", None)


def _of_tail(sink: Mapping[str, Any], written: Sequence[Gap], clock: SampleClock) -> list[Gap]:
    """The gaps on record for a sink that are behind its last commit."""
    tail = Span(sink["committed"], max(sink["committed"], sink["stop"]))
    return [gap.trimmed(tail, clock) for gap in written if gap.span.intersection(tail)]


def _is_settled(record: Mapping[str, Any], name: str, mended: Sequence[str]) -> bool:
    """True if this output has everything, or everything that there is."""
    sink = record["sinks"][name]
    return name in mended or (condition_of(sink).is_closed and not lacks(sink))


def _outcome(name: str, policy: Policy, sink: Mapping[str, Any], gaps: Sequence[Gap]) -> SinkOutcome:
    return SinkOutcome(
        name=name,
        policy=policy,
        start=sink["start"],
        stop=sink["stop"],
        samples=sink["samples"],
        gaps=sink["gaps"],
        failure="" if condition_of(sink).is_closed else str(sink.get("failure", "")),
        overruns=sum(len(gap) for gap in gaps if gap.cause in LOST_BY_BOARD),
        absent=tuple(gaps),
        retained_from=sink.get("retained_from", 0),
        untriggered=untriggered_in(gaps),
    )
