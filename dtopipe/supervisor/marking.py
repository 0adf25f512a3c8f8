"""Marks of a run in progress: each is on the disk before anybody is told that it is set."""

from __future__ import annotations

from typing import Protocol

from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import RunOver, UsageError
from dtopipe.model.marks import LONGEST_WHO, Mark, checked_label, checked_text, steers
from dtopipe.model.moments import Moment
from dtopipe.supervisor.moments import Moments
from dtopipe.supervisor.progress import Progress
from dtopipe.wire.commands import Marked, Refused, SetMark

# Every output gets all of them in one piece: some MB.
MOST_MARKS = 10_000
# What people are shown of them.
_MOST_SHOWN = 5


class MarkLines(Protocol):
    """Where marks are written down."""

    def append_mark(self, mark: Mark) -> bool:
        """Write it, and sync it; False while the disk has no room for it, which then keeps nobody waiting."""


class Marking:
    """Numbers marks, and gives each the sample that it means."""

    def __init__(self, progress: Progress, moments: Moments, lines: MarkLines) -> None:
        self._progress = progress
        self._moments = moments
        self._lines = lines
        self.count = 0
        self._newest: list[Mark] = []

    def set(self, asked: SetMark) -> Marked | Refused:
        """Set this mark, or refuse with the reason; then nothing has changed."""
        try:
            label, text = checked_label(asked.label), checked_text(asked.text)
            if self.count >= MOST_MARKS:
                raise UsageError(f"the run has {self.count:,} marks already", "write what comes often as readings")
            moment = Moment(asked.before_s, asked.sample_index, asked.t_utc_ns)
            at = self._moments.at(moment, asked.said_ns)
        except UsageError as error:
            return Refused(error.message, error.remedy, is_over=isinstance(error, RunOver))
        mark = Mark(
            number=self.count + 1,
            label=label,
            sample_index=at.sample_index,
            t_mono_ns=at.t_mono_ns,
            t_utc_ns=at.t_utc_ns,
            text=text,
            by=who(asked.user, asked.host),
            set_at_ns=self._progress.times.utc_ns(min(asked.said_ns or mono_ns(), mono_ns())),
        )
        self.count += 1
        self._newest = [*self._newest, mark][-_MOST_SHOWN:]
        return Marked(mark, is_durable=self._lines.append_mark(mark))

    def newest(self) -> list[dict[str, object]]:
        """The last few, as JSON has them."""
        return [mark.to_json() for mark in self._newest]


def who(user: str, host: str) -> str:
    """`user@host`, of what somebody said of himself; what is not known is left out."""
    text = "@".join(word for word in (user, host) if word)
    return "".join(letter for letter in text if not steers(letter))[:LONGEST_WHO]
