"""How many slots a ring gets."""

from __future__ import annotations

import math

from dtopipe.model.plan import RingPlan

# One slot to write and one to read.
FEWEST_SLOTS = 2
# Below this a burst's wake-up costs more than the overlap of writing and reading saves.
_SMALLEST_BURST = 4


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


def burst_slots(n_slots: int) -> int:
    """Blocks that are announced, and taken, at once: half of the ring, so that the other half is filled meanwhile."""
    return min(n_slots, max(n_slots // 2, _SMALLEST_BURST))


SLOT_HEADER_BYTES = 128
_SLOT_ALIGN = 64
# Header, table of subscribers and gap log, as the ring's layout has them; then statistics of each channel.
_BEFORE_STATS_BYTES = 112 * 8 + 62 * 80 * 8 + 16_384 * 8 * 8
_STATS_BYTES = 2 * 5 * 8
_PAGE = 4096


def bytes_before_slots(n_channels: int) -> int:
    """What a ring takes besides its slots."""
    return -(-(_BEFORE_STATS_BYTES + n_channels * _STATS_BYTES) // _PAGE) * _PAGE


def slot_bytes(n_channels: int, samples_per_block: int, item_bytes: int) -> int:
    """Bytes from one slot to the next: header, codes, one byte of sensor status a sample, rounded up."""
    n_samples = n_channels * samples_per_block
    return -(-(SLOT_HEADER_BYTES + n_samples * (item_bytes + 1)) // _SLOT_ALIGN) * _SLOT_ALIGN
