"""How the run goes over time, for those who look at it afterwards: `progress.jsonl`, which stays small."""

from __future__ import annotations

import logging
from pathlib import Path

from dtopipe.host.run_folder import replace_text
from dtopipe.host.run_progress import PROGRESS_FILE
from dtopipe.model.stretch import SinkStretch, Stretch, thinned
from dtopipe.supervisor.headroom import headroom_s, held_slots
from dtopipe.supervisor.lines import LineFile
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.record import acquired
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.gap_lines import json_line

_log = logging.getLogger("dtopipe.supervisor")
# Twenty minutes at a line a second; more than a picture has columns.
MOST_LINES, MOST_BYTES = 1200, 2**19
_FIRST_FOR_S = 1.0
_LOOK_EVERY_NS = 250_000_000
_TRY_AGAIN_NS = 10_000_000_000


class ProgressFile:
    """A line a stretch. Once there are too many, each two become one, and stretches are twice as long from then on.

    So it is bounded however long the run is, and in every part of it equally fine. It is replaced as a whole: whoever
    is killed meanwhile leaves the old lines or the new ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: LineFile | None = LineFile(path)
        self._stretches: list[Stretch] = []
        self._n_bytes = 0
        # How long the next stretches are.
        self.for_s = _FIRST_FOR_S

    def append(self, stretch: Stretch) -> None:
        """One more stretch; what a full disk refuses waits."""
        self._stretches.append(stretch)
        self._n_bytes += len(_line(stretch).encode(errors="replace"))
        if self._lines is not None:
            self._lines.append(stretch.to_json())
        if len(self._stretches) > MOST_LINES or self._n_bytes > MOST_BYTES:
            self._thin()

    def restore(self) -> bool:
        """Put the file there again where a full disk has kept its shorter form away; False while it still does."""
        if self._lines is None:
            self._replace()
        return self._lines is not None

    def close(self) -> None:
        """Done."""
        if self.restore() and self._lines is not None:
            self._lines.close()

    def _thin(self) -> None:
        self._stretches, self.for_s = thinned(self._stretches), 2 * self.for_s
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.release()
        self._replace()

    def _replace(self) -> None:
        text = "".join(map(_line, self._stretches))
        self._n_bytes = len(text.encode(errors="replace"))
        try:
            replace_text(self._path, text)
            self._lines = LineFile(self._path)
        except OSError as error:
            _log.warning("%s: %s", self._path, error)


class ProgressWatch:
    """Looks four times a second how far everybody is; nothing of it waits."""

    def __init__(self, folder: Path, progress: Progress, memory: RunMemory, sinks: Sinks) -> None:
        """`folder`: the run's."""
        self._progress = progress
        self._memory = memory
        self._sinks = sinks
        self._file = ProgressFile(folder / PROGRESS_FILE)
        # What was seen since the last line.
        self._open: Stretch | None = None
        self._looked_ns: int | None = None
        self._restored_ns = 0

    def look(self, now_ns: int) -> None:
        """One turn."""
        if self._memory.ring is None or self._progress.phase not in (Phase.RUNNING, Phase.DRAINING):
            return
        if self._looked_ns is None:
            self._looked_ns = now_ns
        if now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return
        seen = self._seen(now_ns, (now_ns - self._looked_ns) / 1e9)
        self._looked_ns = now_ns
        self._open = seen if self._open is None else self._open.followed_by(seen)
        if self._open.for_s >= self._file.for_s:
            self._file.append(self._open)
            self._open = None
        if now_ns - self._restored_ns >= _TRY_AGAIN_NS:
            self._restored_ns = now_ns
            self._file.restore()

    def close(self) -> None:
        """Write down what was seen last, and close."""
        if self._open is not None:
            self._file.append(self._open)
        self._file.close()

    def _seen(self, now_ns: int, for_s: float) -> Stretch:
        ring, stream = self._memory.ring, self._memory.stream
        status = None if ring is None else ring.status()
        counts, rate_hz = acquired(ring), stream.rate_hz if stream else 0.0
        end = counts["end_sample_index"]
        return Stretch(
            t_utc_ns=self._progress.times.utc_ns(now_ns),
            for_s=for_s,
            end_sample_index=end,
            samples=counts["samples"],
            overrun_samples=counts["overrun_samples"],
            headroom_s=headroom_s(self._memory, held_slots(self._memory, self._sinks, status)),
            sinks={
                agent.plan.name: SinkStretch(
                    agent.position.samples,
                    agent.position.dropped,
                    agent.lag_samples(end, rate_hz) / rate_hz if rate_hz else 0.0,
                )
                for agent in self._sinks
                if not agent.state.is_final
            },
        )


def _line(stretch: Stretch) -> str:
    return json_line(stretch.to_json()) + "\n"
