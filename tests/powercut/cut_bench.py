"""A folder whose disk can be cut, and the commands of the user who has it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from cut_mounts import CutMount, mounted
from cut_plans import DSN_VARIABLE, Plan
from ready_commands import Command as RunningCommand
from ready_commands import Commands

from dtopipe.shm.segment import is_ours, unlink

PATIENCE_S = 120.0


@dataclass
class Command:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any] | None:
        """The one on stdout."""
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(self.stdout)
            return found
        return None

    @property
    def state(self) -> str:
        """Of its verdict, if it has one."""
        document = self.document or {}
        return str(document.get("verdict", {}).get("state", "")) if isinstance(document, dict) else ""


class Bench:
    """A folder, a runtime folder of its own, and the commands of a user who has them."""

    def __init__(self, folder: Path, runtime: Path, commands: Commands, dsn: str = "") -> None:
        self.folder = folder
        self._commands = commands
        self.disk = folder / "disk"
        self.runtime = runtime
        self.dsn = dsn
        self._images = 0

    def environment(self, runtime: Path | None = None) -> dict[str, str]:
        """Of every command."""
        own = {"DTOPIPE_RUNTIME_DIR": str(runtime or self.runtime), "COLUMNS": "160", DSN_VARIABLE: self.dsn}
        return {**os.environ, **own}

    def start(self, *words: str, runtime: Path | None = None) -> RunningCommand:
        """A command, going on."""
        return self._commands.start(words, self.folder, self.environment(runtime))

    def run(self, *words: str) -> Command:
        """A command, to its end."""
        process = self.start(*words)
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            return Command(-1, stdout, f"{stderr}\nit did not end within {PATIENCE_S:g} s")
        return Command(process.wait(), stdout, stderr)

    @contextlib.contextmanager
    def cut_disk(
        self, plan: Plan, cut_at: str | None, *, begin_with: Path | None = None, notice: str | None = None
    ) -> Iterator[CutMount]:
        """A disk at `disk` with the content of `begin_with`; afterwards what has survived is there instead."""
        self._images += 1
        image = self.folder / f"image-{self._images}"
        with mounted(
            self.disk, image, plan.mode, plan.seed + self._images, begin_with=begin_with, cut_at=cut_at, notice=notice
        ) as mount:
            yield mount
        # What was there before the mount is there no more: the disk has it.
        shutil.rmtree(self.disk)
        shutil.copytree(image / "disk", self.disk)

    def power_goes(self, mount: CutMount, process: RunningCommand) -> str:
        """Cut, and nothing of what ran is left but the disk. What the command had said."""
        mount.cut()
        victims = _with_descendants(process.pid)
        for victim in victims:
            with contextlib.suppress(psutil.Error):
                victim.kill()
        mount.end()
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
        psutil.wait_procs(victims, PATIENCE_S)
        self._forget()
        return stdout + stderr

    def _forget(self) -> None:
        """Shared memory and runtime folder, as after a boot."""
        for entry in self.runtime.glob("*/entry.json"):
            # It may have been made, and not yet written.
            with contextlib.suppress(OSError, ValueError):
                segment = json.loads(entry.read_text(encoding="utf-8"))["segment"]
                if is_ours(segment):
                    unlink(segment)
        for path in self.runtime.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def run_folder(self) -> Path:
        """Of the one run; none that is there if its record has not survived."""
        return next(iter(sorted(self.disk.glob("runs/*/*/run.json"))), self.disk / "none" / "run.json").parent


def _with_descendants(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        # Who stands still starts nobody who would not be found.
        process.suspend()
        return [process, *process.children(recursive=True)]
    return []
