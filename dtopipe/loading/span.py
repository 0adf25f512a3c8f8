"""Which samples of a run are meant: by index, by time from its start, by UTC, or around a mark."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from dtopipe.model.clock import utc_ns
from dtopipe.model.errors import UsageError
from dtopipe.model.marks import Mark
from dtopipe.model.suggestions import nearest
from dtopipe.model.wanted import Wanted

_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*(?P<unit>ms|s|min|h)")
_AROUND = re.compile(rf"(?P<label>.*?)\s*(?P<sign>[+-])\s*(?P<ahead>{_DURATION.pattern})")
_HOW = (
    'a sample index (2000), a time from the start ("2s", "10min", "1h"), a UTC time ("2026-11-22T23:41:00Z",'
    ' a datetime), or a mark ("ignition", "ignition - 3s")'
)


def wanted_from(span: Any, rate_hz: float, marks: Sequence[Mark]) -> Wanted:
    """What `span` means: None for everything, a slice, or a pair whose ends may be None.

    `marks`: those of the run. Raises UsageError, with what a span can be.
    """
    if span is None:
        return Wanted()
    if isinstance(span, slice):
        if span.step is not None:
            raise UsageError(f"a span has no step, and not {span.step!r}", "take every n-th row of what is loaded")
        span = (span.start, span.stop)
    if not isinstance(span, Sequence) or isinstance(span, str | bytes) or len(span) != 2:
        raise UsageError(f"a span is (start, stop), not {span!r}", f"each of the two is None, {_HOW}")
    start, utc_start_ns = _end(span[0], rate_hz, marks)
    stop, utc_stop_ns = _end(span[1], rate_hz, marks)
    bounds = {"start": start, "stop": stop, "utc_start_ns": utc_start_ns, "utc_stop_ns": utc_stop_ns}
    wanted = replace(Wanted(), **{name: bound for name, bound in bounds.items() if bound is not None})
    if wanted.start > wanted.stop or wanted.utc_start_ns > wanted.utc_stop_ns:
        raise UsageError(f"the span {span!r} ends before it begins", "write (start, stop), stop exclusive")
    return wanted


def _end(given: Any, rate_hz: float, marks: Sequence[Mark]) -> tuple[int | None, int | None]:
    """One end of a span, as a sample index or as UTC in ns; both None for an open one."""
    if given is None:
        return None, None
    if isinstance(given, bool):
        raise UsageError(f"a span cannot begin or end at {given!r}", f"it can at {_HOW}")
    if isinstance(given, int | np.integer):
        if given < 0:
            raise UsageError(f"there is no sample {given}", f"indices count from 0; a span begins or ends at {_HOW}")
        return int(given), None
    if isinstance(given, timedelta):
        return _index_of(given.total_seconds(), rate_hz), None
    if isinstance(given, np.datetime64):
        return None, int(given.astype("datetime64[ns]").astype(np.int64))
    if isinstance(given, datetime):
        return None, _utc_ns(given)
    if isinstance(given, str):
        return _from_text(given.strip(), rate_hz, marks)
    raise UsageError(f"a span cannot begin or end at {given!r}", f"it can at {_HOW}")


def _from_text(text: str, rate_hz: float, marks: Sequence[Mark]) -> tuple[int | None, int | None]:
    if any(mark.label == text for mark in marks):
        return _index_of_mark(text, marks), None
    if whole := _DURATION.fullmatch(text):
        return _index_of(_seconds(whole), rate_hz), None
    around = _AROUND.fullmatch(text)
    label = text if around is None else around["label"]
    if around is not None and any(mark.label == label for mark in marks):
        ahead = _index_of(_seconds(around), rate_hz)
        return max(0, _index_of_mark(label, marks) + (ahead if around["sign"] == "+" else -ahead)), None
    with contextlib.suppress(ValueError):
        return None, utc_ns(text)
    known = f"marks: {nearest(label, [mark.label for mark in marks])}" if marks else "the run has no marks"
    raise UsageError(f"{text!r} is no time and no mark", f"{known}; a span begins or ends at {_HOW}")


def _index_of_mark(label: str, marks: Sequence[Mark]) -> int:
    """The sample of the only mark that is called so. Raises UsageError for one of several."""
    found = [mark.sample_index for mark in marks if mark.label == label]
    if len(found) > 1:
        which = ", ".join(map(str, found))
        raise UsageError(f"{len(found)} marks are called {label!r}", f"give the sample index of one of them: {which}")
    return found[0]


def _utc_ns(time: datetime) -> int:
    """Nanoseconds since 1970; a time that names no zone is UTC. A pandas Timestamp keeps its nanoseconds."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    nanosecond = int(getattr(time, "nanosecond", 0))
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000 + nanosecond


def _seconds(match: re.Match[str]) -> float:
    return float(match["number"]) * _UNITS[match["unit"]]


def _index_of(seconds: float, rate_hz: float) -> int:
    """The first sample that is so long after sample 0, or later."""
    exact = seconds * rate_hz
    nearest_whole = round(exact)
    # 0.1 s at 10 Hz is sample 1, whatever binary fractions make of it.
    return nearest_whole if math.isclose(exact, nearest_whole, rel_tol=1e-12, abs_tol=1e-9) else math.ceil(exact)
