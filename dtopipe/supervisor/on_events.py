"""Commands of the user's that are run when something happens: one at a time of each kind, beside the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dtopipe.core.limit_words import CROSSED
from dtopipe.host.event_command import EventCommand
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import iso_utc
from dtopipe.model.facts import strict_json
from dtopipe.model.plan import CommandPlan, RunPlan
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.progress import Progress

OVERRUN = "overrun"
# A command that has not ended by then is killed.
LIMIT_S = 60.0
# At the end of a run commands are waited for so long, and then left to themselves.
_END_LIMIT_S = 10.0
_LOOK_EVERY_S = 0.05
# Of each kind so many events wait that are not alike; what comes more often is counted.
_MOST_WAITING = 32
# A verdict may be long.
_LONGEST_TEXT = 4000
# What an event of the run is called under `on:`.
_KINDS = {
    "running": "start",
    CROSSED: "limit",
    OVERRUN: OVERRUN,
    "disk_filling": "disk_low",
    "silent": "silent",
    "finished": "verdict",
}


@dataclass(slots=True)
class _Waiting:
    """An event that is still to be told; `times`: so often it happened, of which this was the last time."""

    t_utc: str
    details: Mapping[str, Any]
    times: int = 1


@dataclass(slots=True)
class _Queue:
    """All events of one kind, and the command that is told of them."""

    plan: CommandPlan
    waiting: dict[tuple[Any, ...], _Waiting] = field(default_factory=dict)
    running: EventCommand | None = None
    runs: int = 0
    failures: int = 0
    trouble: str = ""
    # Events that came while too many others waited.
    not_told: int = 0


class OnEvents:
    """It hears every event of the run, and runs the command that the topology has for it, if any."""

    def __init__(
        self, plan: RunPlan, progress: Progress, folder: RunFolder, events: Events, *, limit_s: float = LIMIT_S
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._folder = folder
        self._events: Events | None = events
        self._limit_s = limit_s
        self._queues = {kind: _Queue(command) for kind, command in plan.on.items()}

    def heard(self, event: str, details: Mapping[str, Any]) -> None:
        """Something happened; nothing is started here."""
        queue = self._queues.get(_KINDS.get(event, ""))
        if queue is None:
            return
        now = iso_utc(self._progress.times.utc_ns())
        alike = (details.get("channel"), details.get("limit"), details.get("folder"))
        before = queue.waiting.pop(alike, None)
        if before is None and len(queue.waiting) >= _MOST_WAITING:
            queue.not_told += 1
            return
        queue.waiting[alike] = _Waiting(now, details, before.times + 1 if before else 1)

    def look(self) -> None:
        """One turn: who has ended is succeeded by the next."""
        for kind, queue in self._queues.items():
            self._reap(kind, queue)
            if queue.running is None and queue.waiting:
                self._start(kind, queue)

    def snapshot(self) -> dict[str, Any]:
        """The facts for tables, by kind; empty where there are no commands."""
        return {
            kind: {
                "command": list(queue.plan.argv),
                "runs": queue.runs,
                "failures": queue.failures,
                "waiting": len(queue.waiting),
                "is_running": queue.running is not None,
                **({"trouble": queue.trouble} if queue.trouble else {}),
            }
            for kind, queue in self._queues.items()
        }

    def conclude(self, events: Events | None, *, is_cut_short: Callable[[], bool]) -> list[str]:
        """After the run: what waits is still told, and waited for a while; the words for what went wrong with that.

        `events`: where troubles are told from now on, if anywhere.
        """
        self._events = events
        words: list[str] = []
        deadline = time.monotonic() + _END_LIMIT_S
        while True:
            failures = {kind: queue.failures for kind, queue in self._queues.items()}
            self.look()
            words += [
                f"on {kind}: {queue.plan.argv[0]} {queue.trouble}: see logs/on.{kind}.log"
                for kind, queue in self._queues.items()
                if queue.failures > failures[kind]
            ]
            left = {kind: queue for kind, queue in self._queues.items() if queue.running is not None}
            if not left:
                return words
            if time.monotonic() >= deadline or is_cut_short():
                break
            time.sleep(_LOOK_EVERY_S)
        for kind, queue in left.items():
            untold = sum(each.times for each in queue.waiting.values())
            more = f", and {untold} more events were not told" if untold else ""
            words.append(f"on {kind}: {queue.plan.argv[0]} still runs, and is left to itself{more}")
            self._tell(kind, queue, "command_left", not_told=untold)
        return words

    def _start(self, kind: str, queue: _Queue) -> None:
        alike = next(iter(queue.waiting))
        waiting = queue.waiting.pop(alike)
        document = self._document(kind, waiting, queue.not_told)
        queue.not_told = 0
        queue.runs += 1
        argv = [str(queue.plan.program), *queue.plan.argv[1:]]
        log = self._folder.log_path(f"on.{kind}")
        queue.running = EventCommand(argv, queue.plan.folder, strict_json(document) + "\n", log, self._limit_s)

    def _reap(self, kind: str, queue: _Queue) -> None:
        command = queue.running
        if command is None or not command.has_ended:
            return
        queue.running, queue.trouble = None, command.trouble
        if command.trouble:
            queue.failures += 1
            self._tell(kind, queue, "command_failed", how=command.trouble, log=f"logs/on.{kind}.log")

    def _tell(self, kind: str, queue: _Queue, event: str, **details: Any) -> None:
        if self._events is not None:
            self._events.append_of(kind, event, on=kind, program=str(queue.plan.program), **details)

    def _document(self, kind: str, waiting: _Waiting, not_told: int) -> dict[str, Any]:
        """What the command is told; the numbers are those of the event."""
        return {
            **waiting.details,
            "event": kind,
            "text": _text(kind, waiting.details, self._plan.name)[:_LONGEST_TEXT],
            "t_utc": waiting.t_utc,
            "times": waiting.times,
            **({"not_told": not_told} if not_told else {}),
            "run": self._plan.name,
            "run_id": self._progress.run_id,
            "folder": str(self._folder.path.absolute()),
            "simulated": self._plan.simulated,
        }


def _text(kind: str, details: Mapping[str, Any], name: str) -> str:
    """The event as people say it."""
    if kind == "start":
        return f"{name} runs"
    if kind == "verdict":
        return f"{name}: {details.get('verdict')}; {details.get('text')}"
    if kind == OVERRUN:
        return f"{name}: the board lost {details.get('samples')} samples per channel"
    return f"{name}: {details.get('text') or details.get('why') or kind}"
