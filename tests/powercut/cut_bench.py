"""A folder whose disk can be cut, and the commands of the user who has it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from cut_mounts import CutMount, mounted
from cut_plans import DSN_VARIABLE, Plan

PATIENCE_S = 120.0
_SHARED_MEMORY = Path("/dev/shm")


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

    def __init__(self, folder: Path, runtime: Path, dsn: str = "") -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.runtime = runtime
        self.dsn = dsn
        self._images = 0

    def environment(self, runtime: Path | None = None) -> dict[str, str]:
        """Of every command."""
        own = {"DTOPIPE_RUNTIME_DIR": str(runtime or self.runtime), "COLUMNS": "160", DSN_VARIABLE: self.dsn}
        return {**os.environ, **own}

    def start(self, *words: str, runtime: Path | None = None) -> subprocess.Popen[str]:
        """A command, going on."""
        return subprocess.Popen(
            [sys.executable, "-m", "dtopipe", *words], cwd=self.folder, env=self.environment(runtime), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> Command:
        """A command, to its end."""
        process = self.start(*words)
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            return Command(-1, stdout, f"{stderr}\nit did not end within {PATIENCE_S:g} s")
        return Command(process.returncode, stdout, stderr)

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

    def power_goes(self, mount: CutMount, process: subprocess.Popen[str]) -> str:
        """Cut, and nothing of what ran is left but the disk. What the command had said."""
        mount.cut()
        victims = [process.pid, *(child.pid for child in _descendants(process.pid))]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        mount.end()
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
        psutil.wait_procs([psutil.Process(pid) for pid in victims if psutil.pid_exists(pid)], PATIENCE_S)
        self._forget()
        return stdout + stderr

    def _forget(self) -> None:
        """Shared memory and runtime folder, as after a boot."""
        for file in self.runtime.rglob("*"):
            with contextlib.suppress(OSError):
                for name in re.findall(rb"dtopipe-[\w.-]+", file.read_bytes() if file.is_file() else b""):
                    (_SHARED_MEMORY / name.decode()).unlink(missing_ok=True)
        for path in self.runtime.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def run_folder(self) -> Path | None:
        """Of the one run, if its record has survived."""
        return next(iter(sorted(self.disk.glob("runs/*/*/run.json"))), self.disk / "none" / "run.json").parent


def _descendants(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []
