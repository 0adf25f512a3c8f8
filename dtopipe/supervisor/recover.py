"""What `up`, `stop` and `repair` do about runs whose supervisor was killed: complete the record, and clear away.

Only of runs that this user made on this host, and that nobody holds any more. What commands that look show of such a
run comes from `completed_record`, which writes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dtopipe.core.ending import BY_KILL
from dtopipe.core.gaps import explained
from dtopipe.core.lifecycle import SinkState
from dtopipe.core.limit_words import CROSSED, OVER, outcomes_from, with_events
from dtopipe.core.outcome import SinkOutcome, untriggered_in
from dtopipe.core.row_count import RowShape, rows_of
from dtopipe.core.verdict import judge_recorded
from dtopipe.host.identity import who_is_here
from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.run_events import events_of
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import ensure_ours_to_complete
from dtopipe.host.run_lock import RunLock, read_mark, run_lock_is_held
from dtopipe.host.runtime import EntryFacts, RuntimeEntry, entries
from dtopipe.model.clock import Anchor, SampleClock, utc_ns
from dtopipe.model.errors import DtopipeError, RingError, SinkUnavailable, UsageError
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import is_ours, unlink
from dtopipe.sinks.registry import known_sink_type
from dtopipe.supervisor.lines import GapsFile
from dtopipe.supervisor.record import acquired, channel_facts, verdict_facts
from dtopipe.supervisor.rescue import rescue
from dtopipe.supervisor.reserved_space import clear_kept_rooms
from dtopipe.wire.describe import stream_from

_log = logging.getLogger("dtopipe.supervisor")
# From a record, a sink's name and the run folder to what its output says: how far it is, and its gaps. With `outside`,
# also of an output that is not in the run folder.
ReadOutput = Callable[..., "tuple[Position, list[Gap]] | None"]
# What comes of a record whose values are of another kind than ours.
_SPOILT = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of one killed run of this user. `trouble`: why its record is not complete, or empty."""

    folder: RunFolder
    trouble: str = ""


def recover_killed_runs(read_output: ReadOutput) -> Iterator[Recovery]:
    """Complete the record of every run in the user's runtime folder that has no process any more, and clear it away.

    A run whose supervisor is dead while others still drain is left alone until they are done, and one that was made on
    another host is that host's. Never raises for a run's sake.
    """
    for entry in entries():
        facts = None
        try:
            if entry.anybody_is_alive():
                continue
            facts = entry.read()
            if facts is None:
                entry.remove_if_abandoned()
                continue
            folder = RunFolder(Path(facts.run_folder))
            mark = read_mark(folder.path)
            if mark is not None and not mark.maker.is_same_host(who_is_here()):
                continue
            if not _is_gone(folder, facts):
                _complete(folder, read_output, facts)
            _clear(entry, facts)
            yield Recovery(folder)
        except (OSError, DtopipeError) as error:
            # A full disk, or one that is away: what is in the ring waits for the next command.
            if facts is not None:
                yield Recovery(RunFolder(Path(facts.run_folder)), f"{error}\n{_way_out(entry, facts)}")


def recover_run(folder: RunFolder, read_output: ReadOutput) -> bool:
    """The same for one run, of which no entry need be left; False if its record was complete already.

    Raises UsageError if it is in progress, or not this user's; SinkError, OSError if its record cannot be written.
    """
    record = folder.read_record()
    entry = folder.entry()
    facts = entry.read() if entry is not None else None
    if record.get("verdict") is not None:
        if _is_held(folder) or (entry is not None and entry.anybody_is_alive()):
            raise UsageError(f"{folder.path} is still in progress", "try again in a moment: it is ending")
    else:
        ensure_ours_to_complete(folder)
        _complete(folder, read_output, facts)
    if entry is not None and facts is not None:
        _clear(entry, facts)
    return record.get("verdict") is None


def _complete(folder: RunFolder, read_output: ReadOutput, facts: EntryFacts | None) -> None:
    lock = RunLock(folder.path)
    lock.hold_to_complete()
    try:
        complete_record(folder, own_reader(folder, read_output, facts), facts)
        LifeLocks(folder.path).remove()
        lock.take_away()
    finally:
        lock.release()


def own_reader(folder: RunFolder, read_output: ReadOutput, facts: EntryFacts | None) -> ReadOutput:
    """`read_output`, also for outputs outside of the run folder where the run is known to be this user's own.

    `facts`: of its entry, which nobody else can have made.
    """
    return partial(read_output, outside=folder.outside or facts is not None)


def _is_held(folder: RunFolder) -> bool:
    try:
        return run_lock_is_held(folder.path)
    except OSError:
        return False


def _is_gone(folder: RunFolder, facts: EntryFacts) -> bool:
    """True if there is nothing to complete: its folder was deleted, or it was killed before anything was in it."""
    if not os.path.lexists(folder.path):
        # A disk that is away has not even the folder around it.
        return folder.path.parent.is_dir()
    return not os.path.lexists(folder.record_path) and not is_ours(facts.segment)


def _ids_of(folder: RunFolder, record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the runtime entry of this run may call it: one that follows another run has that one's id in its record."""
    mark = read_mark(folder.path) if record.get("source") else None
    return (record.get("run_id"), *([] if mark is None else [mark.run_id]))


def _clear(entry: RuntimeEntry, facts: EntryFacts) -> None:
    """Shared memory and runtime entry of a run that nobody needs any more."""
    if is_ours(facts.segment):
        unlink(facts.segment)
    entry.remove()


def _way_out(entry: RuntimeEntry, facts: EntryFacts) -> str:
    ring = f" and the shared memory {facts.segment}" if is_ours(facts.segment) else ""
    return f"    once that is mended: dtopipe repair {facts.run_folder}; to give it up: delete {entry.folder}{ring}"


def complete_record(folder: RunFolder, read_output: ReadOutput, facts: EntryFacts | None) -> None:
    """Write the verdict that the killed supervisor could not, and every output's gaps.

    `facts`: of the run's entry, if that is still there. The caller holds the run folder's lock. Raises UsageError if
    there is no record, OSError or SinkUnavailable if it cannot be written.
    """
    found = folder.read_record()
    if found.get("verdict") is not None:
        return
    if facts is not None and facts.run_id not in _ids_of(folder, found):
        raise UsageError(f"{folder.record_path} is the record of another run than the one that was killed there")
    segment = "" if facts is None else facts.segment
    record, gaps = completed_record(folder, read_output, segment)
    record["finished_at"] = datetime.now(UTC).isoformat()
    _clear_kept_rooms(folder, record, is_known=facts is not None or read_mark(folder.path) is not None)
    _rescue(folder, record, segment)
    gaps_file = GapsFile(folder.path / "gaps.jsonl", remembered=None)
    for name, found_gaps in gaps.items():
        gaps_file.append(name, found_gaps)
    gaps_file.close()
    folder.write_record(record)


def _clear_kept_rooms(folder: RunFolder, record: Mapping[str, Any], *, is_known: bool) -> None:
    """It is called before anything is written: a disk that is full may have no other room for it.

    Outside of the run folder only of a run that is known here: its record alone may be anybody's.
    """
    places = {folder.path}
    if is_known:
        places |= {(folder.path / sink["path"]).parent for sink in record["sinks"].values() if sink["path"] is not None}
    for place in places:
        clear_kept_rooms(place, record["run_id"])


def completed_record(
    folder: RunFolder, read_output: ReadOutput, segment: str = ""
) -> tuple[dict[str, Any], dict[str | None, list[Gap]]]:
    """The record as its supervisor would have completed it, and the gaps of the board (None) and of each sink.

    What was acquired comes from the shared memory, if it is still there, what is in an output from the output itself.
    Writes nothing. Raises UsageError if there is no record that can be completed.
    """
    record = folder.read_record()
    try:
        return _completed(record, folder, read_output, segment)
    except _SPOILT as error:
        raise UsageError(f"{folder.record_path} is not a run record: {type(error).__name__}: {error}") from error


def _completed(
    record: dict[str, Any], folder: RunFolder, read_output: ReadOutput, segment: str
) -> tuple[dict[str, Any], dict[str | None, list[Gap]]]:
    ring = _attached(segment)
    outputs = {name: read_output(record, name, folder.path) for name in record["sinks"]}
    anchor, rate_hz = _sample_clock(ring, record)
    gaps: dict[str | None, list[Gap]] = {}
    if ring:
        record["acquired"] = acquired(ring)
        record["channels"] = channel_facts(ring, stream_from(record["stream"]).channels if record["stream"] else ())
        gaps[None] = ring.board_gaps()
        if isinstance(record.get("source"), dict):
            record["source"]["end_sample_index"] = ring.source_end()
        ring.close()
    _raise_end(record["acquired"], outputs)
    end = record["acquired"]["end_sample_index"]
    outcomes = []
    for name, sink in record["sinks"].items():
        position, known = outputs[name] or (_recorded(sink), [])
        is_detached = sink["state"] == SinkState.DETACHED
        stop = max(position.committed, sink["stop"]) if is_detached else end
        absent_tail = Span(position.committed, stop)
        tail = explained(absent_tail, gaps.get(None, []), Cause.WORKER_FAILED, anchor_time(anchor, rate_hz))
        gaps[name] = [*known, *tail]
        absent = position.gap_samples + sum(len(gap) for gap in tail)
        sink |= {
            "state": _state(is_detached=is_detached, is_whole=not tail).value,
            "start": position.start,
            "stop": stop,
            "committed": position.committed,
            "durable": position.durable,
            "samples": position.samples,
            "rows": rows_of(RowShape.recorded(sink), position, known),
            "gaps": absent,
            "dropped": position.dropped,
            **({"retained_from": position.retained_from} if "retained_from" in sink else {}),
            **({"untriggered": untriggered_in(gaps[name])} if "untriggered" in sink else {}),
        }
        outcomes.append(
            SinkOutcome(
                name=name,
                policy=Policy(sink["policy"]),
                start=position.start,
                stop=stop,
                samples=position.samples,
                gaps=absent,
                absent=tuple(gaps[name]),
                retained_from=position.retained_from,
                untriggered=untriggered_in(gaps[name]),
            )
        )
    _complete_limits(record, folder)
    # Somebody may have asked for the end before that.
    record.setdefault("ended_by", BY_KILL.facts())
    record["verdict"] = verdict_facts(judge_recorded(record, outcomes, interrupted=True))
    return record, gaps


def _complete_limits(record: dict[str, Any], folder: RunFolder) -> None:
    """What was seen of limits after the record was written stands in the events."""
    if isinstance(record.get("limits"), dict):
        seen = with_events(outcomes_from(record["limits"]), events_of(folder.path, CROSSED, OVER))
        record["limits"] = {**record["limits"], "seen": [outcome.facts() for outcome in seen]}


def _rescue(folder: RunFolder, record: Mapping[str, Any], segment: str) -> None:
    """Keep what is only in the ring. Raises SinkUnavailable where there is no room for it now."""
    ring = _attached(segment)
    if ring is None:
        return
    try:
        if record["stream"]:
            rescue(ring, stream_from(record["stream"]), folder, _held(record["sinks"]))
    except SinkUnavailable:
        raise
    except (DtopipeError, OSError) as error:
        _log.warning("what was in the ring of %s could not be kept: %s", folder.path, error)
    finally:
        ring.close()


def _held(sinks: Mapping[str, Mapping[str, Any]]) -> int:
    """The index up to which the samples are in an output: in a raw file, else in all of them."""
    raw = [sink for sink in sinks.values() if known_sink_type(sink["type"]).is_raw and not sink["dropped"]]
    whole = [sink["committed"] for sink in raw if "untriggered" not in sink]
    if not whole and any("untriggered" in sink for sink in sinks.values()):
        # What one has to look back on stands in no output.
        return 0
    return max(whole) if whole else min((sink["committed"] for sink in sinks.values()), default=0)


def anchor_time(anchor: Anchor, rate_hz: float) -> Callable[[int], int]:
    """The time (ns UTC) of each sample index, by this anchor."""
    clock = SampleClock(rate_hz)
    return lambda index: anchor.t_utc_ns + clock.offset_ns(index - anchor.sample_index)


def _attached(segment: str) -> Ring | None:
    if not is_ours(segment):
        return None
    try:
        return Ring.attach(segment)
    except RingError:
        return None


def _sample_clock(ring: Ring | None, record: Mapping[str, Any]) -> tuple[Anchor, float]:
    """Where times of gaps come from: the ring's anchor, else the run's start."""
    rate_hz = float(record["clock"]["rate_nominal_hz"] or 1.0)
    if ring and ring.anchor().t_utc_ns:
        return ring.anchor(), rate_hz
    return Anchor(0, 0, utc_ns(record["started_at"])), rate_hz


def _raise_end(counts: dict[str, int], outputs: Mapping[str, tuple[Position, list[Gap]] | None]) -> None:
    """Outputs may know more than a record that was written some seconds before the power went."""
    end = max((found[0].committed for found in outputs.values() if found), default=0)
    if end > counts["end_sample_index"]:
        counts["samples"] += end - counts["end_sample_index"]
        counts["end_sample_index"] = end


def _recorded(sink: Mapping[str, Any]) -> Position:
    return Position(
        sink["start"], sink["committed"], sink["durable"], sink["samples"],
        sink["committed"] - sink["start"] - sink["samples"], sink["dropped"], sink.get("retained_from", 0),
    )  # fmt: skip


def _state(*, is_detached: bool, is_whole: bool) -> SinkState:
    """How a sink of a killed run has ended."""
    if is_detached:
        return SinkState.DETACHED
    return SinkState.DONE if is_whole else SinkState.INTERRUPTED
