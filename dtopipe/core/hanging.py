"""Hung told from slow: how long a process stands in one and the same call, as far as somebody watched."""

from __future__ import annotations

from collections.abc import Hashable

# A call that takes this long is worth a word, though it may be a slow disk.
_NOTICE_S = 5.0
# A process that the system has stopped gets nowhere: that is said as soon as it is sure.
_NOTICE_STOPPED_S = 1.0
# A process that starts loads its libraries: from a cold disk, or beside many others, that alone may take longer than
# any limit that somebody set for a call.
_NOTICE_START_S = 20.0
_SHORTEST_START_S = 60.0


class CallClock:
    """Counts the seconds without progress of one process; progress is another call, or the same one entered again."""

    def __init__(self, limit_s: float | None) -> None:
        """`limit_s`: from when on it is to be killed; None never."""
        self._limit_s = limit_s
        self._notice_s = _NOTICE_S if limit_s is None else min(_NOTICE_S, limit_s / 2)
        self._mark: Hashable = None
        self._starts = False
        self.stands_s = 0.0

    def saw(self, mark: Hashable, elapsed_s: float, *, starts: bool = False) -> None:
        """The process is in the call `mark`, None for none; `elapsed_s` of watching have passed since the last look.

        `starts`: that call is its start, for which it has a minute at least.
        """
        moved = mark is None or mark != self._mark
        self.stands_s = 0.0 if moved else self.stands_s + elapsed_s
        self._mark = mark
        self._starts = starts

    def is_worth_a_word(self, *, stopped: bool) -> bool:
        """True if it stands so long that somebody should know; `stopped`: by the system."""
        notice_s = _NOTICE_START_S if self._starts else self._notice_s
        return self.stands_s >= (min(notice_s, self._notice_s, _NOTICE_STOPPED_S) if stopped else notice_s)

    @property
    def is_over(self) -> bool:
        """True if it has stood for its limit."""
        if self._limit_s is None:
            return False
        return self.stands_s >= (max(self._limit_s, _SHORTEST_START_S) if self._starts else self._limit_s)
