"""The locks in a run folder by which the run's processes, and the programs that follow it, show that they live.

They lie where the run is, and not in a folder of its user's session: a logout, or whoever cleans temporary folders,
takes those away, and other sessions never look into them.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from dtopipe.host.lock import FileLock, is_held

_FOLDER = ".alive"


class LifeLocks:
    """Those of one run."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder / _FOLDER

    def make(self) -> None:
        """Once, by the run's supervisor. Raises OSError."""
        self._folder.mkdir(exist_ok=True)

    def lock(self, process: str) -> FileLock:
        """The lock of one process of the run, not yet acquired."""
        return FileLock(self._folder / f"{process}.lock")

    def is_alive(self, process: str) -> bool:
        """True if that process of the run holds its lock. Raises OSError if that cannot be seen."""
        return is_held(self._folder / f"{process}.lock")

    def anybody_is_alive(self) -> bool:
        """True if any process of the run does, but for its supervisor. Raises OSError if that cannot be seen."""
        return any(is_held(path) for path in self._folder.glob("*.lock"))

    def subscriber_lock(self, key: str) -> FileLock:
        """The lock by which a program that follows the run shows that it lives. It is no process of the run."""
        return FileLock(self._subscriber_path(key))

    def listens(self, key: str) -> bool:
        """True while that program lives and follows the run; only whoever finds it gone takes its file away."""
        path = self._subscriber_path(key)
        try:
            # A file that somebody else has deleted proves nothing.
            return not path.exists() or is_held(path)
        except OSError:
            return True

    def is_listening(self, key: str) -> bool:
        """True if there is a living program of this key."""
        with contextlib.suppress(OSError):
            return is_held(self._subscriber_path(key))
        return False

    def forget_subscriber(self, key: str) -> None:
        """Take its lock's file away; harmless when it is gone."""
        with contextlib.suppress(OSError):
            self._subscriber_path(key).unlink(missing_ok=True)

    def remove(self) -> None:
        """The run is over, and on record: take them away, and nothing else. Never raises."""
        with contextlib.suppress(OSError):
            for path in list(self._folder.iterdir()):
                if path.suffix in (".lock", ".subscriber") and path.is_file() and not path.is_symlink():
                    path.unlink(missing_ok=True)
            self._folder.rmdir()

    def _subscriber_path(self, key: str) -> Path:
        # Not *.lock: nobody is to wait for a program, least of all one that is stopped.
        return self._folder / f"{key}.subscriber"
