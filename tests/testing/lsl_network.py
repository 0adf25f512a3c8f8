"""Whether streams of the lab streaming layer can be found here: they are looked for by multicast."""

from __future__ import annotations

import functools
import uuid

import pytest

_LOOK_FOR_S = 5.0


@functools.cache
def _why_not() -> str:
    try:
        import pylsl

        name = uuid.uuid4().hex
        outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "tried", 1, 1.0, "float32", name))
        found = pylsl.resolve_byprop("name", name, timeout=_LOOK_FOR_S)
        del outlet
    except Exception as error:  # pylsl raises RuntimeError without its library
        return f"{type(error).__name__}: {error}"
    return "" if found else "no stream is found on this machine's network"


def need_lsl() -> None:
    """Skip the test where there is no LSL."""
    if why := _why_not():
        pytest.skip(f"no lab streaming layer: {why}")
