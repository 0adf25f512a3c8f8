"""Faults: what is done to which process, really."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import psutil

from dtopipe.chaos.moments import Moment, came_to_commit, came_to_rollover, has_rollovers
from dtopipe.chaos.run_under_test import RunUnderTest
from dtopipe.chaos.surroundings import connection_cutter, disk_filler, server_killer
from dtopipe.model.plan import RunPlan

_ACQUIRER = "acquirer"
# A stop that lasts longer than most rings do now and then.
_SHORT_STOP_S, _LONG_STOP_RINGS, _LONGEST_STOP_S = 0.3, 1.5, 6.0
# How long a successor is waited for, and how much of its start is worth a kill.
_SUCCESSOR_LIMIT_S, _START_S = 5.0, 0.7
_LOOK_EVERY_S = 0.01
_DEFAULT_RING_BLOCKS = 64


class Kind(StrEnum):
    """What can be done to a run. ACQUIRER is a kill too, of the process that owns the board.

    `episodes` has those that take a while and are made of several deeds; one more of them is a member here, a class
    and a line there.
    """

    KILL = "kill"
    STOP = "stop"
    FULL = "full"
    SERVER = "server"
    ACQUIRER = "acquirer"
    JOURNAL = "journal"
    JOURNAL_DISK = "journal_disk"
    BOARD = "board"
    CLOCK = "clock"
    SWEPT = "swept"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Fault:
    """One that was injected. `at_s`: since the run began; `lasted_s`: of a stop or of a full disk."""

    at_s: float
    kind: Kind
    victim: str
    lasted_s: float = 0.0
    moment: Moment = Moment.ANY


class Injector:
    """Does faults of some kinds to the processes of one run. `server_death`: a command that restarts its server."""

    def __init__(self, dice: random.Random, run: RunUnderTest, plan: RunPlan, server_death: str | None = None) -> None:
        self._dice = dice
        self._run = run
        self._sinks = {sink.name: sink for sink in plan.sinks}
        self._rolling = [sink.name for sink in plan.sinks if has_rollovers(sink) and sink.path is not None]
        # It holds the board when it stops for longer than the ring, and so is not stopped so long.
        self._journal = next((sink.name for sink in plan.sinks if sink.is_journal), None)
        self._ring_s = _ring_s(plan)
        self._cut_connections = connection_cutter(plan)
        self._kill_server = server_killer(server_death)
        self._fill_disk = disk_filler(run.folder.path)

    def can(self, kind: Kind) -> bool:
        """True if a fault of this kind can be done here."""
        if kind is Kind.SERVER:
            return self._cut_connections is not None or self._kill_server is not None
        return kind is not Kind.FULL or self._fill_disk is not None

    def inject(self, kind: Kind, at_s: Callable[[], float], *, draining: bool = False) -> list[Fault]:
        """One fault, or two at once or one after the other; empty where the victim was gone already.

        `at_s`: how long the run goes on. Raises UsageError if the server's death fails.
        """
        moment = Moment.DRAIN if draining else Moment.ANY
        if kind is Kind.SERVER:
            return self._away(at_s(), moment)
        if kind is Kind.FULL:
            return self._full(at_s(), moment)
        if kind is Kind.STOP:
            return self._stop(at_s(), moment)
        return self._kill([_ACQUIRER] if kind is Kind.ACQUIRER else self._victims(), kind, at_s, moment)

    def _away(self, at_s: float, moment: Moment) -> list[Fault]:
        if self._kill_server is not None and (self._cut_connections is None or self._dice.random() < 0.5):
            self._kill_server()
            return [Fault(at_s, Kind.SERVER, "server", moment=moment)]
        if self._cut_connections is not None:
            self._cut_connections()
        return [Fault(at_s, Kind.SERVER, "connections", moment=moment)]

    def _full(self, at_s: float, moment: Moment) -> list[Fault]:
        if self._fill_disk is None:
            return []
        # Shorter than what ends a run in order: half of a ring of two seconds.
        lasted_s = self._dice.uniform(0.1, 0.5)
        free = self._fill_disk()
        time.sleep(lasted_s)
        free()
        return [Fault(at_s, Kind.FULL, "disk", lasted_s, moment)]

    def _stop(self, at_s: float, moment: Moment) -> list[Fault]:
        names = self._victims()
        lasted_s = self._stop_s(names)
        processes = self._processes(names)
        done = []
        for name, process in processes.items():
            with contextlib.suppress(psutil.Error):
                process.suspend()
                done.append(Fault(at_s, Kind.STOP, name, lasted_s, moment))
        if done:
            time.sleep(lasted_s)
        for process in processes.values():
            with contextlib.suppress(psutil.Error):
                process.resume()
        return done

    def _kill(self, names: Sequence[str], kind: Kind, at_s: Callable[[], float], moment: Moment) -> list[Fault]:
        aims = kind is Kind.KILL and moment is Moment.ANY
        rolls = aims and bool(self._rolling) and self._dice.random() < 0.25
        if rolls:
            names = list(dict.fromkeys([self._dice.choice(self._rolling), *names[1:]]))
        # Before anything is waited for: then there is no time for it.
        processes = self._processes(names)
        if aims:
            moment = self._awaited(names[0], rolls=rolls)
        done = self._killed(processes, kind, at_s(), moment)
        # A successor is most easily hurt while it takes over.
        if done and kind is Kind.KILL and moment is not Moment.DRAIN and self._dice.random() < 0.15:
            successor = self._successor(processes[done[0].victim], done[0].victim)
            if successor is not None:
                time.sleep(self._dice.uniform(0.0, _START_S))
                done += self._killed({done[0].victim: successor}, kind, at_s(), Moment.RESUME)
        return done

    def _awaited(self, name: str, *, rolls: bool) -> Moment:
        """Waits for the end of this sink's row group or segment, or now and then for its commit."""
        if rolls:
            if came_to_rollover(self._sinks[name], self._run.folder.path / str(self._sinks[name].path)):
                time.sleep(self._dice.choice((0.0, self._dice.uniform(0.0, 0.05))))
                return Moment.ROLLOVER
        elif self._dice.random() < 0.33 and came_to_commit(self._run.calls_of(name)):
            time.sleep(self._dice.choice((0.0, self._dice.uniform(0.0, 0.005))))
            return Moment.COMMIT
        return Moment.ANY

    def _killed(self, processes: dict[str, psutil.Process], kind: Kind, at_s: float, moment: Moment) -> list[Fault]:
        done = []
        for name, process in processes.items():
            with contextlib.suppress(psutil.Error):
                process.kill()
                done.append(Fault(at_s, kind, name, moment=moment))
        return done

    def _successor(self, process: psutil.Process, name: str) -> psutil.Process | None:
        deadline = time.monotonic() + _SUCCESSOR_LIMIT_S
        while time.monotonic() < deadline and self._run.goes_on():
            found = self._run.process_of(name)
            if found is not None and found != process:
                return found
            time.sleep(_LOOK_EVERY_S)
        return None

    def _victims(self) -> list[str]:
        """One sink, now and then two at once."""
        n = min(len(self._sinks), 1 if self._dice.random() < 0.8 else 2)
        return self._dice.sample(list(self._sinks), n)

    def _processes(self, names: Sequence[str]) -> dict[str, psutil.Process]:
        return {name: process for name in names if (process := self._run.process_of(name)) is not None}

    def _stop_s(self, names: Sequence[str]) -> float:
        if self._dice.random() < 0.7 or self._journal in names:
            return min(self._dice.uniform(0.05, _SHORT_STOP_S), self._ring_s / 4)
        return min(_LONGEST_STOP_S, self._ring_s * _LONG_STOP_RINGS)


def _ring_s(plan: RunPlan) -> float:
    task = plan.board.task
    if plan.ring.seconds or task is None:
        return plan.ring.seconds or 1.0
    return (plan.ring.slots or _DEFAULT_RING_BLOCKS) * task.samples_per_block / task.rate_hz
