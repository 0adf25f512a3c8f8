"""CPU and memory of each process of a run, by the pids in its status."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class ProcessLoad:
    """`cpu_s`: user and system time since the process began."""

    process: str
    cpu_s: float
    resident_bytes: int


def loads_of(status: Mapping[str, Any]) -> list[ProcessLoad]:
    """Of the acquirer and of each sink; what has no process now, or may not be looked at, is left out."""
    pids = {"acquirer": status["board"].get("pid")}
    pids |= {f"sink {name}": sink.get("pid") for name, sink in status["sinks"].items()}
    found = []
    for name, pid in pids.items():
        if pid is None:
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            found.append(ProcessLoad(name, times.user + times.system, process.memory_info().rss))
    return found
