"""Faults: what is done to which process, really."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psutil

# A stop that lasts longer than most rings do now and then.
_SHORT_STOP_S, _LONG_STOP_RINGS = 0.3, 1.5


class Kind(StrEnum):
    """What can be done to a run. ACQUIRER is a kill too, of the process that owns the board."""

    KILL = "kill"
    STOP = "stop"
    FULL = "full"
    SERVER = "server"
    ACQUIRER = "acquirer"


@dataclass(frozen=True, slots=True)
class Fault:
    """One that was injected. `at_s`: since the run began; `lasted_s`: of a stop or of a full disk."""

    at_s: float
    kind: Kind
    victim: str
    lasted_s: float = 0.0
    while_draining: bool = False


class Injector:
    """Does faults of some kinds to the processes of one run.

    `journal`: the sink, if any, that holds the board when it stops for longer than the ring, and so is not stopped so
    long. `pid_of(name)`: the present process of a sink or of the acquirer, None where there is none;
    `cut_connections`: ends what databases have open for this run; `fill_disks`: fills the outputs' disks, and returns
    what frees them again.
    """

    def __init__(
        self,
        dice: random.Random,
        sinks: Sequence[str],
        journal: str | None,
        ring_s: float,
        pid_of: Callable[[str], int | None],
        cut_connections: Callable[[], Any] | None,
        fill_disks: Callable[[], Callable[[], None]] | None,
    ) -> None:
        self._dice = dice
        self._sinks = sinks
        self._journal = journal
        self._ring_s = ring_s
        self._pid_of = pid_of
        self._cut_connections = cut_connections
        self._fill_disks = fill_disks

    def can(self, kind: Kind) -> bool:
        """True if a fault of this kind can be done here."""
        if kind is Kind.SERVER:
            return self._cut_connections is not None
        return kind is not Kind.FULL or self._fill_disks is not None

    def inject(self, kind: Kind, at_s: float, *, while_draining: bool = False) -> list[Fault]:
        """One fault, or two at once; empty where the victim was gone already."""
        if kind is Kind.SERVER and self._cut_connections is not None:
            self._cut_connections()
            return [Fault(at_s, kind, "database", while_draining=while_draining)]
        if kind is Kind.FULL and self._fill_disks is not None:
            lasted_s = self._dice.uniform(0.2, 1.0)
            free = self._fill_disks()
            time.sleep(lasted_s)
            free()
            return [Fault(at_s, kind, "disk", lasted_s, while_draining)]
        names = ["acquirer"] if kind is Kind.ACQUIRER else self._victims()
        lasted_s = self._stop_s(names) if kind is Kind.STOP else 0.0
        processes = {name: process for name in names if (process := self._process(name)) is not None}
        done = []
        for name, process in processes.items():
            with contextlib.suppress(psutil.Error):
                process.suspend() if kind is Kind.STOP else process.kill()
                done.append(Fault(at_s, kind, name, lasted_s, while_draining))
        if kind is Kind.STOP:
            time.sleep(lasted_s)
            for process in processes.values():
                with contextlib.suppress(psutil.Error):
                    process.resume()
        return done

    def _victims(self) -> list[str]:
        """One sink, now and then two at once."""
        n = min(len(self._sinks), 1 if self._dice.random() < 0.8 else 2)
        return self._dice.sample(list(self._sinks), n)

    def _stop_s(self, names: Sequence[str]) -> float:
        if self._dice.random() < 0.7 or self._journal in (None, *names):
            return min(self._dice.uniform(0.05, _SHORT_STOP_S), self._ring_s / 4)
        return min(6.0, self._ring_s * _LONG_STOP_RINGS)

    def _process(self, name: str) -> psutil.Process | None:
        pid = self._pid_of(name)
        with contextlib.suppress(psutil.Error):
            return None if pid is None else psutil.Process(pid)
        return None
