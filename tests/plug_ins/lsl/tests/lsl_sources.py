"""Streams of LSL, sent by a thread as a device's program sends them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pylsl
from numpy.typing import NDArray


def values_of(index: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, 3): what each channel has at these samples."""
    return np.stack([index, 1000 - index, index / 8], axis=1).astype(float)


@contextmanager
def sent(
    rate_hz: float = 500.0,
    channel_format: int = pylsl.cf_float32,
    holes: Sequence[int] = (),
    n_lost: int = 100,
    stream_type: str = "tried",
) -> Iterator[str]:
    """The name of a stream of three channels, sent in real time until the end.

    `holes`: before each of these samples `n_lost` others were lost, as a device says it, by its times alone.
    """
    name = f"tried-{uuid.uuid4().hex[:8]}"
    info = pylsl.StreamInfo(name, stream_type, 3, rate_hz, channel_format, name)
    channels = info.desc().append_child("channels")
    for unit in ("V", "mV", "degC"):
        channels.append_child("channel").append_child_value("unit", unit)
    begun, ended = threading.Event(), threading.Event()

    def send() -> None:
        # It ends with this function, and with it the stream.
        outlet = pylsl.StreamOutlet(info)
        begun.set()
        began_s, at, lost = pylsl.local_clock(), 0, 0
        while not ended.wait(0.01):
            there = int((pylsl.local_clock() - began_s) * rate_hz) - lost
            stop = min([there, *(hole for hole in holes if hole > at)])
            if stop > at:
                index = np.arange(at, stop)
                times = began_s + (index + lost) / rate_hz
                outlet.push_chunk(values_of(index), times.tolist())
                at = stop
                lost += n_lost if at in holes else 0

    thread = threading.Thread(target=send)
    thread.start()
    begun.wait()
    try:
        yield name
    finally:
        ended.set()
        thread.join()
