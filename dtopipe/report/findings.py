"""All that a page tells of a run, gathered from its folder; nothing is written, and nobody is disturbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dtopipe.core.limit_words import CROSSED, OVER, LimitOutcome, outcomes_from, with_events
from dtopipe.host.run_events import events_of
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_marks import marks_of
from dtopipe.model.errors import DtopipeError
from dtopipe.model.marks import Mark
from dtopipe.model.span import Gap
from dtopipe.model.stretch import Stretch, stretches_from
from dtopipe.report.calibrations import Meaning, meanings_of
from dtopipe.report.clocks import ClockPairs, clock_pairs
from dtopipe.report.lives import History, history_of
from dtopipe.report.traces import Progress, Trace, traces_of
from dtopipe.sinks.registry import known_sink_type
from dtopipe.topology.secrets import without_secrets
from dtopipe.verify.gaps import read_gaps
from dtopipe.verify.outputs import Output, outputs_of
from dtopipe.verify.run_files import LINE_FILES, damaged_files

# As many as a picture has columns.
_MOST_STRETCHES = 800


@dataclass(frozen=True, slots=True)
class Asked:
    """What who asks for a page knows besides the folder.

    `run`: what the run is called. `held`: who still has it, in words, empty if it is over. `what_to_do`: what is to be
    done about it, each a text whose commands may be typed as they stand. `status`: of a run in progress its snapshot.
    """

    run: str
    record: Mapping[str, Any]
    held: str = ""
    what_to_do: Sequence[str] = ()
    status: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What is known of one run.

    `troubles`: what could not be looked at, in words; `unread_files`: the run's files of lines among it, of which not
    all is known.
    """

    asked: Asked
    folder: Path
    made_at: str
    traces: Sequence[Trace]
    meanings: Sequence[Meaning]
    limits: Sequence[LimitOutcome]
    marks: Sequence[Mark]
    gaps: Mapping[str | None, Sequence[Gap]]
    clock: ClockPairs
    stretches: Sequence[Stretch]
    history: History
    topology: Mapping[str, Any]
    troubles: Sequence[str]
    unread_files: Sequence[str]

    @property
    def record(self) -> Mapping[str, Any]:
        """The run record."""
        return self.asked.record

    @property
    def verdict_word(self) -> str:
        """In one word what the run came to."""
        verdict = self.record.get("verdict")
        return str(verdict["state"]) if verdict else "IN PROGRESS"

    @property
    def verdict_text(self) -> str:
        """And in a sentence."""
        verdict = self.record.get("verdict")
        return str(verdict["text"]) if verdict else self.asked.held or "it has no verdict yet"

    @property
    def rate_hz(self) -> float | None:
        """Samples per second of each channel; None before the board was opened."""
        rate_hz = (self.record.get("stream") or {}).get("rate_hz")
        return float(rate_hz) if rate_hz else None

    @property
    def polled(self) -> bool:
        """True if it has readings, each with a time of its own."""
        return bool((self.record.get("stream") or {}).get("polled"))

    def as_far_as_read(self, file: str, words: str) -> str:
        """What is said where that file of the run tells of nothing; it may be that not all of it could be read."""
        return f"{words} Not all of {file} could be read." if file in self.unread_files else words

    def look(self, name: str) -> str:
        """What to type to look at this output."""
        sink = self.record["sinks"][name]
        place = sink.get("path")
        kind = known_sink_type(sink["type"])
        if place is None or not kind.look:
            return ""
        return kind.look.format(path=str(self.folder / place), python="python")


def findings_of(folder: RunFolder, asked: Asked, progress: Progress) -> Findings:
    """Looks at the run's folder and reads its outputs, which may take long: `progress` hears how far it is.

    What cannot be read is said on the page, and the rest of it is there all the same.
    """
    troubles: list[str] = []
    outputs: Sequence[Output] = ()
    try:
        outputs = outputs_of(folder, asked.record)
    except DtopipeError as error:
        troubles.append(error.headline)
    troubles += [f"{output.name} {output.not_opened}" for output in outputs if output.not_opened]
    traces, unread = traces_of(outputs, asked.record, progress)
    unread_lines = _unread_lines(folder.path)
    # Who looks at an output may see a later state of it than of the events: these are read last.
    return Findings(
        asked=asked,
        folder=folder.path.absolute(),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        traces=traces,
        meanings=meanings_of(asked.record),
        limits=with_events(outcomes_from(asked.record.get("limits")), events_of(folder.path, CROSSED, OVER)),
        marks=marks_of(folder.path),
        gaps=read_gaps(folder.path / "gaps.jsonl"),
        clock=clock_pairs(folder.path),
        stretches=stretches_from(asked.record.get("progress"), _MOST_STRETCHES),
        history=history_of(events_of(folder.path)),
        topology=without_secrets(asked.record.get("topology") or {}),
        troubles=[*troubles, *unread, *unread_lines],
        unread_files=[name for name in LINE_FILES if any(words.startswith(name) for words in unread_lines)],
    )


def _unread_lines(folder: Path) -> list[str]:
    """What is damaged of the run's files of lines, or is not there though every run has it."""
    missing = [f"{name} is not there" for name in LINE_FILES if not (folder / name).is_file()]
    return [*damaged_files(folder), *missing]
