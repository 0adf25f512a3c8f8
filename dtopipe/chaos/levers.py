"""What a run under test looks at from its start, so that its board and its clock can be moved in mid-run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

_SITE = Path(__file__).parent / "stepped_clock"


class Levers:
    """A folder of their own; with `close` they are gone."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dtopipe-levers-")
        # While it is there, the simulated board does not answer.
        self.away_file = Path(self._folder.name) / "away"
        self._step_file = Path(self._folder.name) / "step"

    @property
    def sets(self) -> tuple[str, ...]:
        """The settings for the run's command line."""
        return (f"board.away_file={self.away_file}",)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the run's processes."""
        path = os.environ.get("PYTHONPATH")
        words = [str(_SITE), *([path] if path else [])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(words), "DTOPIPE_STEP_FILE": str(self._step_file)}

    def set_clock(self, ahead_s: float) -> None:
        """The wall clock of the run is so much ahead of the computer's from now on; less than 0: behind it."""
        new = self._step_file.with_suffix(".new")
        new.write_text(f"{ahead_s!r}", encoding="ascii")
        new.replace(self._step_file)

    def close(self) -> None:
        """Nothing is left."""
        self._folder.cleanup()
