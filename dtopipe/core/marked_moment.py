"""Which sample of a run somebody means."""

from __future__ import annotations

from dtopipe.core.sample_times import SampleTimes
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import UsageError
from dtopipe.model.moments import Moment


def sample_at(moment: Moment, times: SampleTimes, first: int, now: int) -> int:
    """The sample index of that moment in a run whose first sample is `first`, and that is at sample `now`.

    Raises UsageError for a moment before the run, or one that is still to come.
    """
    if moment.sample_index is not None:
        index = moment.sample_index
        if index > now:
            raise UsageError(f"sample {index:,} is not there yet: the run is at sample {now:,}", _NOW)
        if index < first:
            raise UsageError(f"sample {index:,} is before the run, which begins with sample {first:,}", _BEGIN)
        return index
    if moment.t_utc_ns is not None:
        at = times.at_utc(moment.t_utc_ns)
        if at is None or at < first:
            began = iso_utc(times.of(first).t_utc_ns)
            raise UsageError(f"{iso_utc(moment.t_utc_ns)} is before the run, which began at {began}", _BEGIN)
        if at > now:
            reached = iso_utc(times.of(now).t_utc_ns)
            raise UsageError(f"{iso_utc(moment.t_utc_ns)} is still to come: the run is at {reached}", _NOW)
        return at
    at = now - times.clock.index_at(round(moment.before_s * 1e9))
    if at < first:
        lasted_s = times.clock.offset_ns(now - first) / 1e9
        raise UsageError(f"{moment.before_s:g} s ago is before the run, which has lasted {lasted_s:.3g} s", _BEGIN)
    return at


_NOW = "leave --at out for now, or mark it once it is there"
_BEGIN = "name a moment of the run: --at -3s, a sample index, or a time"
