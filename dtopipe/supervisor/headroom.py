"""How much of the ring is held, and for how long there is room in it."""

from __future__ import annotations

from dtopipe.model.policy import Policy
from dtopipe.shm.ring import RingStatus
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sinks import Sinks


def held_slots(memory: RunMemory, sinks: Sinks, ring: RingStatus | None) -> int | None:
    """How many slots the slowest BLOCK sink holds; None without one, and before there is a ring."""
    table = memory.table
    if ring is None or table is None:
        return None
    released = [
        table.status(agent.row).released
        for agent in sinks
        if agent.row is not None and agent.plan.policy is Policy.BLOCK and not table.is_covered(agent.row)
    ]
    return ring.head - min(released) if released else None


def headroom_s(memory: RunMemory, held: int | None) -> float | None:
    """How long who holds so many slots may stop from now on before the ring is full; None where nobody does."""
    if held is None or memory.stream is None or memory.ring is None:
        return None
    free = memory.ring.layout.n_slots - held
    return round(free * memory.stream.samples_per_block / memory.stream.rate_hz, 3)
