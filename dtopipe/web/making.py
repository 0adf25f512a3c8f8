"""Overviews on their way: one process at a time makes them, and says how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dtopipe.model.facts import parsed

# What could not be made is not tried again at once: its reason is read first.
_AGAIN_AFTER_S = 30.0


@dataclass(slots=True)
class Making:
    """How far one is. `part`: of the rows, 0 to 1; `trouble`: why there is none."""

    task: asyncio.Task[None] | None = None
    part: float = 0.0
    trouble: str = ""
    is_done: bool = False
    ended_s: float = 0.0

    @property
    def is_going_on(self) -> bool:
        """True until it has ended, one way or the other."""
        return self.task is not None and not self.task.done()


class OverviewMaking:
    """Sees to it that each overview that somebody waits for is made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], Making] = {}
        self._turn = asyncio.Lock()

    def wanted(self, folder: Path, sink: str) -> Making:
        """It is to be made, if that does not go on already; how far it is."""
        making = self._known.get((folder, sink))
        if making is None or not (making.is_going_on or time.monotonic() - making.ended_s < _AGAIN_AFTER_S):
            self._known = {key: known for key, known in self._known.items() if known.is_going_on}
            making = self._known[folder, sink] = Making()
            making.task = asyncio.create_task(self._make(making, folder, sink))
        return making

    def forget(self, folder: Path, sink: str) -> None:
        """It is there: the next one is made without waiting."""
        making = self._known.get((folder, sink))
        if making is not None and not making.is_going_on:
            del self._known[folder, sink]

    async def close(self) -> None:
        """End what goes on."""
        tasks = [making.task for making in self._known.values() if making.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, making: Making, folder: Path, sink: str) -> None:
        try:
            async with self._turn:
                command = [sys.executable, "-P", "-m", "dtopipe.web.overview_process", str(folder), sink]
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                try:
                    await self._hear(process, making)
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    code = await process.wait()
                if not making.is_done and not making.trouble:
                    making.trouble = f"the process that makes the overview has ended with {code}"
        except (OSError, ValueError) as error:
            making.trouble = f"the overview could not be made: {error}"
        finally:
            making.ended_s = time.monotonic()

    async def _hear(self, process: asyncio.subprocess.Process, making: Making) -> None:
        while process.stdout is not None and (line := await process.stdout.readline()):
            told = parsed(line)
            making.is_done = making.is_done or "done" in told
            making.trouble = str(told.get("error", making.trouble))
            if told.get("of"):
                making.part = min(1.0, int(told["rows"]) / int(told["of"]))
