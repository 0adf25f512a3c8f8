"""The run record: what `run.json` says, from the state of the run."""

from __future__ import annotations

import math
import platform
import socket
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.clock_fit import ClockFit
from dtopipe.core.signals import Signal
from dtopipe.core.verdict import Verdict
from dtopipe.model.derived import needs_others
from dtopipe.model.engineering import engineering_values, inputs_of
from dtopipe.model.stream import Channel, Stream
from dtopipe.shm.layout import Stat
from dtopipe.shm.ring import Ring
from dtopipe.sinks.registry import OURS, sink_type
from dtopipe.supervisor.sink_agent import SinkAgent

_PACKAGES = ("dtopipe", "numpy", "pyzmq", "msgpack", "dtollib")


@cache
def versions() -> Mapping[str, str]:
    """The versions of Python and of the packages that matter for the data; looked up once, every record has them."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *filter(None, (sink_type(name).module for name in OURS))):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def host() -> dict[str, str]:
    """The machine on which the run was made."""
    return {"name": socket.gethostname(), "system": platform.system(), "machine": platform.machine()}


def acquired(ring: Ring | None) -> dict[str, int]:
    """Counts per channel."""
    if ring is None:
        return {"blocks": 0, "samples": 0, "overrun_samples": 0, "end_sample_index": 0}
    status = ring.status()
    return {
        "blocks": status.head,
        "samples": status.end_sample_index - status.overrun_samples - status.first_sample_index,
        "overrun_samples": status.overrun_samples,
        "end_sample_index": status.end_sample_index,
        **({"first_sample_index": status.first_sample_index} if status.first_sample_index else {}),
    }


def channel_facts(ring: Ring | None, channels: Iterable[Channel]) -> dict[str, dict[str, Any]]:
    """Lowest and highest value in engineering units (null without samples), and counts of samples.

    Of a calibrated channel also the lowest and highest input; its values are null where these alone do not tell them.
    """
    facts: dict[str, dict[str, Any]] = {}
    stats = None if ring is None else ring.stats().copy()
    for number, channel in enumerate(channels):
        low, high = (np.inf, -np.inf) if stats is None else stats[[Stat.MIN, Stat.MAX], number]
        not_ok, at_rail, n_open = (0, 0, 0) if stats is None else stats[[Stat.NOT_OK, Stat.AT_RAIL, Stat.OPEN], number]
        codes = np.array([low, high], np.float64) if low <= high else np.empty(0)
        least, most = _ends(channel, codes)
        facts[channel.name] = {
            "min": least,
            "max": most,
            "not_ok_samples": int(not_ok),
            "open_samples": int(n_open),
            "at_rail_samples": int(at_rail),
        }
        if channel.calibration is not None:
            inputs = inputs_of(channel, codes).tolist() or [None, None]
            facts[channel.name] |= {"input_min": inputs[0], "input_max": inputs[1], "input_unit": channel.input_unit}
    return facts


def signals(ring: Ring | None, stream: Stream | None) -> list[Signal]:
    """What was counted of each channel, for what the verdict says of dead ones."""
    if ring is None or stream is None:
        return []
    n_samples = acquired(ring)["samples"]
    rails = None if stream.dtype == "float64" else np.iinfo(stream.dtype)
    found = []
    for channel, (low, high, not_ok, at_rail, n_open) in zip(stream.channels, ring.stats().T.tolist(), strict=True):
        found.append(
            Signal(
                name=channel.name,
                n_samples=n_samples,
                n_open=int(n_open),
                n_not_ok=int(not_ok),
                n_at_rail=int(at_rail),
                at_lower=rails is not None and low == rails.min,
                at_upper=rails is not None and high == rails.max,
                # A digital input may well stay as it is.
                is_flat=low == high and channel.kind != "raw",
            )
        )
    return found


def _ends(channel: Channel, codes: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """The values of the lowest and the highest code; None where these do not tell."""
    if needs_others(channel):
        return None, None
    ends = sorted(value for value in engineering_values(channel, codes, None).tolist() if math.isfinite(value))
    return (ends[0], ends[-1]) if len(ends) == 2 else (None, None)


def clock_facts(stream: Stream | None, fit: ClockFit, *, clocked: bool) -> dict[str, float | None]:
    """Nominal rate, and for a clocked board the rate and jitter measured against this machine's clock.

    Jitter is the standard deviation of the clock pairs from the line through them, in ms. Null with fewer than three
    pairs.
    """
    measured = fit.rate_and_jitter() if clocked else None
    rate_hz, jitter_ms = measured or (None, None)
    return {
        "rate_nominal_hz": None if stream is None else stream.rate_hz,
        "rate_measured_hz": None if rate_hz is None else round(rate_hz, 6),
        "jitter_ms": None if jitter_ms is None else round(jitter_ms, 6),
    }


def sink_facts(agent: SinkAgent, final_end: int | None) -> dict[str, Any]:
    """One sink: up to `final_end` once the run is over, before that up to what is committed."""
    position = agent.position
    stop = position.committed if final_end is None else agent.stop(final_end)
    return {
        "type": agent.plan.type,
        "policy": agent.plan.policy.value,
        "path": agent.plan.path,
        **({"target": agent.plan.target} if agent.plan.target else {}),
        "state": agent.shown_state,
        "start": position.start,
        "stop": stop,
        "committed": position.committed,
        "durable": position.durable,
        "samples": position.samples,
        "rows": agent.row_count.rows(position),
        **agent.row_count.shape.facts(),
        "gaps": agent.gap_samples(stop),
        "dropped": position.dropped,
        "restarts": agent.life.restarts,
        **({"part_samples": agent.part_samples} if agent.part_samples is not None else {}),
        **({"retained_from": position.retained_from} if agent.plan.retires else {}),
        **({"events": agent.trigger.n_events, "untriggered": agent.untriggered(stop)} if agent.trigger else {}),
        **agent.troubles(),
    }


def verdict_facts(verdict: Verdict | None) -> Mapping[str, str] | None:
    """`{state, text}`, and what a repair can do if it is not good; null while the run goes on."""
    return None if verdict is None else verdict.facts()
