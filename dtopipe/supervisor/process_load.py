"""What the processes of a run take of the machine: asked of the system now and then."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

_ASK_EVERY_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """`cpu`: cores that the process used of late, 1.0 is one whole core. `memory_bytes`: resident."""

    cpu: float
    memory_bytes: int


class ProcessLoads:
    """Asks once a second at most."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        self._seen_s: dict[int, float] = {}
        self._taken: dict[int, Taken] = {}
        self._asked_ns: int | None = None
        self._n_cores = max(1, psutil.cpu_count() or 1)

    def look(self, pids: set[int], now_ns: int) -> None:
        """These processes are the run's now."""
        asked_ns = self._asked_ns
        if asked_ns is not None and now_ns - asked_ns < _ASK_EVERY_NS:
            return
        self._asked_ns = now_ns
        elapsed_s = 0.0 if asked_ns is None else (now_ns - asked_ns) / 1e9
        before_s, self._seen_s, self._taken = self._seen_s, {}, {}
        self._processes = {pid: process for pid, process in self._processes.items() if pid in pids}
        for pid in pids:
            # Who has ended meanwhile takes nothing.
            with contextlib.suppress(psutil.Error):
                process = self._processes.setdefault(pid, psutil.Process(pid))
                with process.oneshot():
                    times, memory_bytes = process.cpu_times(), process.memory_info().rss
                used_s = self._seen_s[pid] = times.user + times.system
                cpu = (used_s - before_s[pid]) / elapsed_s if pid in before_s and elapsed_s else 0.0
                self._taken[pid] = Taken(cpu, memory_bytes)

    def of(self, pid: int | None) -> Taken | None:
        """What this process takes; None while that is not known."""
        return None if pid is None else self._taken.get(pid)

    @property
    def share(self) -> float:
        """How much of all cores the run's processes and this one use together, 0 to 1."""
        return min(1.0, sum(taken.cpu for taken in self._taken.values()) / self._n_cores)
