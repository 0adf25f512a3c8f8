"""Mounts of the cut file system: made, cut, and gone whatever happens; and the reason where there can be none."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from forgetful_disk import Mode
from marked_mounts import clear_dead_mounts, unmount

_PROGRAM = Path(__file__).with_name("cut_file_system.py")
PATIENCE_S = 60.0


class CannotMount(Exception):
    """There is no FUSE here, or nobody lets us; the message says why."""


class CutMount:
    """A mounted disk that can be cut."""

    def __init__(self, place: Path, image: Path, process: subprocess.Popen[bytes]) -> None:
        self.place = place
        self.image = image
        self._process = process

    @property
    def is_cut(self) -> bool:
        """True once nobody's call returns any more, and the image is there."""
        return self.image.exists()

    def cut(self) -> None:
        """Now, unless it has cut itself."""
        if not self.is_cut:
            self._process.send_signal(signal.SIGUSR1)
        self.wait_for_cut(lambda: True)

    def wait_for_notice(self, goes_on: Callable[[], bool]) -> None:
        """Until it has noticed what it was to notice, or is cut, or as long as `goes_on()`."""
        deadline = time.monotonic() + PATIENCE_S
        while not (noticed_path(self.image).exists() or self.is_cut) and goes_on() and time.monotonic() < deadline:
            time.sleep(0.01)

    def wait_for_cut(self, goes_on: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
        """Until it is cut, or as long as `goes_on()`. False if it did not come to that."""
        deadline = time.monotonic() + patience_s
        while not self.is_cut:
            if self._process.poll() is not None:
                raise CannotMount(f"the file system at {self.place} ended with {self._process.returncode}")
            if not goes_on() or time.monotonic() > deadline:
                return self.is_cut
            time.sleep(0.01)
        return True

    def end(self) -> None:
        """No process of ours, no mount; calls that still wait fail. Harmless twice."""
        self._process.kill()
        self._process.communicate()
        unmount(self.place)


@contextlib.contextmanager
def mounted(
    place: Path,
    image: Path,
    mode: Mode,
    seed: int,
    *,
    begin_with: Path | None = None,
    cut_at: str | None = None,
    notice: str | None = None,
    slow: Path | None = None,
) -> Iterator[CutMount]:
    """A forgetful disk at `place`, an empty folder; triggers and `slow` as cut_file_system has them.

    Raises CannotMount.
    """
    place.mkdir(parents=True, exist_ok=True)
    words = [] if begin_with is None else ["--begin-with", str(begin_with)]
    words += [] if cut_at is None else ["--cut-at", cut_at]
    words += [] if notice is None else ["--notice", notice]
    words += [] if slow is None else ["--slow", str(slow)]
    process = subprocess.Popen(
        [sys.executable, str(_PROGRAM), str(place), str(image), "--mode", mode, "--seed", str(seed), *words],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    mount = CutMount(place, image, process)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not os.path.ismount(place):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                said = process.communicate()[1].decode(errors="replace").strip().splitlines()
                # What libfuse itself says tells more than what the binding makes of it.
                words = [line for line in said if line.startswith("fuse")] or said[-1:]
                raise CannotMount(words[0] if words else "it ended without a word")
            time.sleep(0.01)
        yield mount
    finally:
        mount.end()


def noticed_path(image: Path) -> Path:
    """The file that says that something was noticed."""
    return image.with_name(image.name + ".noticed")


@functools.cache
def why_not() -> str | None:
    """Why nothing can be mounted here; None if it can."""
    if sys.platform != "linux":
        return "the cut file system needs FUSE, as Linux has it"
    clear_dead_mounts()
    with tempfile.TemporaryDirectory(prefix="dtp-cut-") as folder:
        try:
            with mounted(Path(folder) / "disk", Path(folder) / "image", Mode.STRICT, 0):
                return None
        except CannotMount as error:
            return f"FUSE cannot be used here (Debian: apt-get install fuse3; package mfusepy): {error}"
