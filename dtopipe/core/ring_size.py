"""How many slots a ring gets."""

from __future__ import annotations

import math

from dtopipe.model.plan import RingPlan

# One slot to write and one to read.
FEWEST_SLOTS = 2


def ring_slots(plan: RingPlan, rate_hz: float, samples_per_block: int, slot_bytes: int) -> int:
    """Slots of a ring as the topology wants it, at the board's real rate; `slot_bytes` is what one takes."""
    if plan.slots is not None:
        wanted = plan.slots
    elif plan.bytes is not None:
        wanted = plan.bytes // slot_bytes
    else:
        seconds = 4.0 if plan.seconds is None else plan.seconds
        wanted = math.ceil(seconds * rate_hz / samples_per_block)
    return max(FEWEST_SLOTS, wanted)
