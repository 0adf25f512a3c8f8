"""What a run lives on, and how it is taken away: its databases' connections and servers, the room on its disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from dtopipe.model.errors import UsageError
from dtopipe.model.plan import RunPlan
from dtopipe.model.references import referred
from dtopipe.sinks.registry import known_sink_type

# Only a disk that can be filled in a moment, and freed again, is filled.
_MOST_FILLED_BYTES = 2**30
_BALLAST_BYTES = 2**16
_SERVER_LIMIT_S = 120.0


def connection_cutter(plan: RunPlan) -> Callable[[], None] | None:
    """What ends every connection that dtopipe has to the run's databases; None without a database."""
    servers = [(sink, server) for sink in plan.sinks if (server := known_sink_type(sink.type).server) is not None]
    cutters: list[Callable[[], None]] = [
        referred(server.cutter)(sink.options, plan.name) for sink, server in servers if server.cutter is not None
    ]
    if not cutters:
        return None

    def cut() -> None:
        for each in cutters:
            each()

    return cut


def server_killer(command: str | None) -> Callable[[], None] | None:
    """What kills the server of a sink and starts it again: a command of the user, who alone knows how.

    What it returns raises UsageError if the command fails.
    """
    if command is None:
        return None

    def kill() -> None:
        # It is the user's own command line.
        done = subprocess.run(  # noqa: S602
            command, shell=True, capture_output=True, text=True, timeout=_SERVER_LIMIT_S, check=False
        )
        if done.returncode:
            raise UsageError(f"the command that kills the server failed: {command}\n{done.stderr.strip()}")

    return kill


def disk_filler(folder: Path) -> Callable[[], Callable[[], None]] | None:
    """What fills the disk of that folder, and returns what frees it again; None where the disk is too large."""
    stats = os.statvfs(folder) if hasattr(os, "statvfs") else None
    if stats is None or stats.f_bavail * stats.f_frsize > _MOST_FILLED_BYTES:
        return None
    ballast = folder / "ballast"

    def fill() -> Callable[[], None]:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            if hasattr(os, "posix_fallocate"):
                # At once, as a copied file would be: a disk that fills slowly ends the run in order.
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free)
                file.seek(0, os.SEEK_END)
            while file.write(bytes(_BALLAST_BYTES)):
                pass
        return lambda: ballast.unlink(missing_ok=True)

    return fill
