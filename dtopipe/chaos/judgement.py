"""What was promised, held against what a run under faults has left."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dtopipe.chaos.faults import Fault, Kind
from dtopipe.chaos.oracle import Held, Oracle
from dtopipe.core.lifecycle import SinkState
from dtopipe.host.own_python import own_command, own_environment
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import DtopipeError
from dtopipe.model.plan import RunPlan
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span, merged
from dtopipe.verify.gaps import read_gaps
from dtopipe.verify.outputs import Output, outputs_of
from dtopipe.verify.recount import without
from dtopipe.wire.describe import stream_from

# Of a database that keeps microseconds. No clock of a run is set while it goes on.
_UTC_MOVES_NS = 1000
# What happens again and again is written so often, then only counted.
_EVENTS_WRITTEN = 20


def broken_promises(plan: RunPlan, folder: RunFolder, record: Mapping[str, Any], faults: Sequence[Fault]) -> list[str]:
    """Every promise that was not kept, as a sentence."""
    told = read_gaps(folder.path / "gaps.jsonl")
    board = told.get(None, [])
    task = plan.board.task
    oracle = Oracle(plan.board.options, task) if task is not None else None
    broken = [*_of_board(plan, board, faults), *_of_clock(folder, record, faults)]
    for output in outputs_of(folder, record):
        try:
            found = list(_of_output(output, record, oracle, board, told))
        except (DtopipeError, OSError) as error:
            found = [f"cannot be read: {error}"]
        broken += [f"{output.name}: {sentence}" for sentence in found]
    return [*broken, *_of_verify(folder, record)]


def _of_board(plan: RunPlan, gaps: Sequence[Gap], faults: Sequence[Fault]) -> Iterator[str]:
    """A board that waits loses nothing; a clocked one, besides its overruns, once for each kill or absence."""
    restarts = sum(gap.cause is Cause.ACQUIRER_RESTART for gap in gaps)
    kills = sum(fault.kind is Kind.ACQUIRER for fault in faults)
    if restarts > kills:
        yield f"the board has {restarts} gaps of a restart, its process was killed {kills} times"
    holes = sum(gap.cause is Cause.BOARD_AWAY for gap in gaps)
    absences = sum(fault.kind is Kind.BOARD for fault in faults)
    if holes > absences:
        yield f"the board has {holes} gaps of its absence, it was away {absences} times"
    if plan.board.options.get("pace") == "max" and gaps:
        yield f"the board waits for its reader, and lost samples: {_listed(gaps)}"


def _of_clock(folder: RunFolder, record: Mapping[str, Any], faults: Sequence[Fault]) -> Iterator[str]:
    """A wall clock that was set is on record, and in the verdict's words."""
    steps = sum(fault.kind is Kind.CLOCK for fault in faults)
    if not steps:
        return
    events = (folder.path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    told = sum(json.loads(line)["event"] == "clock_stepped" for line in events)
    if told < min(steps, _EVENTS_WRITTEN):
        yield f"the wall clock was set {steps} times, events.jsonl tells of {told}"
    if "wall clock" not in record["verdict"]["text"]:
        yield "the wall clock was set, which the verdict does not say"


def _of_output(
    output: Output,
    of_run: Mapping[str, Any],
    oracle: Oracle | None,
    board: Sequence[Gap],
    told: Mapping[str | None, Sequence[Gap]],
) -> Iterator[str]:
    """Accounting, gaps and values of one output. Raises DtopipeError, OSError where it cannot be read."""
    record, end = output.record, of_run["acquired"]["end_sample_index"]
    if record["start"] + record["samples"] + record["gaps"] != record["stop"]:
        yield "start + samples + gaps is not stop in its record"
    if record["stop"] != end:
        yield f"its record ends at {record['stop']}, the run at {end}"
    reader = output.reader()
    position, gaps = reader.position(), list(reader.gaps())
    is_whole = record["state"] == SinkState.DONE
    # Whether what was not triggered is right, verify tells.
    lacking = [gap for gap in gaps if gap.cause is not Cause.NOT_TRIGGERED]
    if is_whole and output.policy is Policy.BLOCK and _joined(lacking) != _joined(board):
        yield f"its gaps are {_listed(lacking)}, the board's {_listed(board)}"
    if is_whole and _joined(gaps) != _joined(told.get(output.name, [])):
        yield f"its gaps are {_listed(gaps)}, gaps.jsonl says {_listed(told.get(output.name, []))}"
    if oracle is not None:
        begin = max(position.start, position.retained_from)
        names = [channel.name for channel in output.stream.channels]
        stream = stream_from(of_run["stream"])
        if output.has_all_samples:
            held = oracle.hold(reader, stream, names, begin, position.committed)
        else:
            held = oracle.hold_view(output.view_of(stream), reader, begin, position.committed)
        retired = sum(map(len, without([Span(position.start, begin)], [gap.span for gap in gaps])))
        yield from _of_values(held, record["samples"] - retired, is_ordered=output.kind.keeps_order)


def _of_values(held: Held, samples: int, *, is_ordered: bool) -> Iterator[str]:
    if held.samples != samples:
        yield f"it holds {held.samples} samples, its record says {samples}"
    if held.wrong:
        yield f"samples {list(held.wrong)} are not the board's"
    if held.doubled:
        yield f"{held.doubled} samples are there twice"
    if held.disordered and is_ordered:
        yield "its rows are not in order"
    if held.utc_moved_ns > _UTC_MOVES_NS:
        yield f"its t_utc moves by {held.utc_moved_ns} ns against t_mono_ns"
    if held.missing:
        yield f"{', '.join(map(str, held.missing))} is neither there nor a gap"


def _of_verify(folder: RunFolder, record: Mapping[str, Any]) -> Iterator[str]:
    """`dtopipe verify` comes to the run's own verdict."""
    verified = subprocess.run(
        own_command("dtopipe", "verify", str(folder.path), "--outside", "--json"),
        env=own_environment(), capture_output=True, text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    found = ""
    with contextlib.suppress(ValueError, KeyError):
        found = json.loads(verified.stdout)["verdict"]["state"]
    said = record["verdict"]["state"]
    if not found:
        yield f"verify could not do its work: {verified.stderr.strip()}"
    elif found.split()[0] != said.split()[0]:
        yield f"verify says {found}, the run record {said}"


def _joined(gaps: Iterable[Gap]) -> list[tuple[Span, Cause]]:
    """The gaps in order, neighbours of one cause as one; the time of a gap may be another one after a restart."""
    return [(gap.span, gap.cause) for gap in merged(gaps)]


def _listed(gaps: Iterable[Gap]) -> str:
    return ", ".join(f"[{span.start}, {span.stop}) {cause}" for span, cause in _joined(gaps)) or "none"
