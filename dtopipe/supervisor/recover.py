"""What the next command does about runs whose supervisor was killed: clear away, and complete the record."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dtopipe.core.ending import BY_KILL
from dtopipe.core.gaps import explained
from dtopipe.core.outcome import SinkOutcome
from dtopipe.core.verdict import judge_recorded
from dtopipe.host.run_folder import RunFolder, runs_in
from dtopipe.host.runtime import entries
from dtopipe.model.clock import Anchor, SampleClock, utc_ns
from dtopipe.model.errors import DtopipeError, RingError, SinkUnavailable, UsageError
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import unlink
from dtopipe.supervisor.kept_room import clear_kept_rooms
from dtopipe.supervisor.lines import GapsFile
from dtopipe.supervisor.record import acquired, channel_facts, verdict_facts
from dtopipe.supervisor.rescue import rescue
from dtopipe.wire.describe import stream_from

_log = logging.getLogger("dtopipe.supervisor")
# From a record, a sink's name and the run folder to what its output says: how far it is, and its gaps.
ReadOutput = Callable[[Mapping[str, Any], str, Path], "tuple[Position, list[Gap]] | None"]


def recover_killed_runs(read_output: ReadOutput) -> list[RunFolder]:
    """Complete the record of every run of this user that has no process any more; returns their folders.

    A run whose supervisor is dead while others still drain is left alone until they are done.
    """
    recovered = []
    for entry in entries():
        if entry.anybody_is_alive():
            continue
        facts = entry.read()
        if facts is None:
            if not any(entry.folder.glob("*.lock")):
                entry.remove()
            continue
        try:
            complete_record(RunFolder(Path(facts.run_folder)), read_output, facts.segment)
            recovered.append(RunFolder(Path(facts.run_folder)))
        except (OSError, SinkUnavailable) as error:
            # A full disk, or one that is away: what is in the ring waits for the next command.
            _log.warning("the record of %s cannot be completed now: %s", facts.run_folder, error)
            continue
        except DtopipeError:
            pass
        if facts.segment:
            unlink(facts.segment)
        entry.remove()
    return recovered


def complete_unfinished(root: Path, read_output: ReadOutput) -> list[RunFolder]:
    """The same for runs below `root` that ended with the machine's power: no entry is left of them."""
    completed = []
    for folder in runs_in(root):
        with contextlib.suppress(UsageError, OSError):
            if folder.read_record().get("verdict") is None and folder.entry() is None:
                complete_record(folder, read_output, "")
                completed.append(folder)
    return completed


def complete_record(folder: RunFolder, read_output: ReadOutput, segment: str) -> None:
    """Write the verdict that the killed supervisor could not, and every output's gaps.

    Raises UsageError if there is no record, OSError or SinkUnavailable if it cannot be written.
    """
    if folder.read_record().get("verdict") is not None:
        return
    _clear_kept_rooms(folder)
    record, gaps = completed_record(folder, read_output, segment)
    _rescue(folder, record, segment)
    gaps_file = GapsFile(folder.path / "gaps.jsonl")
    for name, found in gaps.items():
        gaps_file.append(name, found)
    gaps_file.close()
    folder.write_record(record)


def _clear_kept_rooms(folder: RunFolder) -> None:
    """First of all: a disk that is full may have no other room for what follows."""
    record = folder.read_record()
    paths = [folder.path / sink["path"] for sink in record["sinks"].values() if sink["path"] is not None]
    for place in {folder.path, *(path.parent for path in paths)}:
        clear_kept_rooms(place, record["run_id"])


def completed_record(
    folder: RunFolder, read_output: ReadOutput, segment: str = ""
) -> tuple[dict[str, Any], dict[str | None, list[Gap]]]:
    """The record as its supervisor would have completed it, and the gaps of the board (None) and of each sink.

    What was acquired comes from the shared memory, if it is still there, what is in an output from the output itself.
    Writes nothing. Raises UsageError if there is no record.
    """
    record = folder.read_record()
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
        is_detached = sink["state"] == "detached"
        stop = max(position.committed, sink["stop"]) if is_detached else end
        absent_tail = Span(position.committed, stop)
        tail = explained(absent_tail, gaps.get(None, []), Cause.WORKER_FAILED, anchor_time(anchor, rate_hz))
        gaps[name] = [*known, *tail]
        absent = position.gap_samples + sum(len(gap) for gap in tail)
        sink |= {
            "state": "detached" if is_detached else "done" if not tail else "interrupted",
            "start": position.start,
            "stop": stop,
            "committed": position.committed,
            "durable": position.durable,
            "samples": position.samples,
            "gaps": absent,
            "dropped": position.dropped,
            **({"retained_from": position.retained_from} if "retained_from" in sink else {}),
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
            )
        )
    # Somebody may have asked for the end before that.
    record.setdefault("ended_by", BY_KILL.facts())
    record["verdict"] = verdict_facts(judge_recorded(record, outcomes, interrupted=True))
    record["finished_at"] = datetime.now(UTC).isoformat()
    return record, gaps


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
    """Up to where the samples are in an output: in a raw file, else in all of them."""
    raw = [sink["committed"] for sink in sinks.values() if sink["type"] == "hbuf" and not sink["dropped"]]
    return max(raw) if raw else min((sink["committed"] for sink in sinks.values()), default=0)


def anchor_time(anchor: Anchor, rate_hz: float) -> Callable[[int], int]:
    """The time (ns UTC) of each sample index, by this anchor."""
    clock = SampleClock(rate_hz)
    return lambda index: anchor.t_utc_ns + clock.offset_ns(index - anchor.sample_index)


def _attached(segment: str) -> Ring | None:
    if not segment:
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
