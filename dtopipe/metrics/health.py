"""Whether a run is well: no sample is being lost, and samples arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.core.lifecycle import SinkState, condition_of, lacks
from dtopipe.model.policy import Policy

# Longer than most look again, so that nobody misses a loss.
_TOLD_FOR_NS = 30_000_000_000
_BLOCKS_WITHOUT = 3
# Who asks is not told of an arrival at once.
_LEAST_SILENCE_NS = 1_000_000_000
_FAILED = (SinkState.GAVE_UP, SinkState.CUT_OFF)


@dataclass(frozen=True, slots=True)
class Health:
    """`why`: each reason for not being well, in words."""

    why: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """True without a reason against it."""
        return not self.why

    def facts(self) -> dict[str, Any]:
        """As `/healthz` has it."""
        return {"healthy": self.is_well, "why": list(self.why)}


class HealthWatch:
    """Compares each snapshot with the ones before it."""

    def __init__(self) -> None:
        self._lost: dict[str, int] = {}
        self._lost_ns: dict[str, int] = {}
        self._end = -1
        self._arrived_ns = 0

    def look(self, status: Mapping[str, Any], now_ns: int) -> Health:
        """How the run is by this snapshot, of now."""
        why = [*self._losses(status, now_ns), *self._silence(status, now_ns)]
        for name, sink in status["sinks"].items():
            if condition_of(sink) in _FAILED and sink["policy"] == Policy.BLOCK.value:
                why.append(f"{name} {condition_of(sink).value.replace('_', ' ')}")
        return Health(tuple(why))

    def _losses(self, status: Mapping[str, Any], now_ns: int) -> list[str]:
        counts = {"the board": int(status["board"]["overrun_samples"])}
        for name, sink in status["sinks"].items():
            if sink["policy"] == Policy.BLOCK.value:
                counts[name] = lacks(sink)
        for name, count in counts.items():
            if count > self._lost.get(name, count):
                self._lost_ns[name] = now_ns
            self._lost[name] = count
        recent = [name for name, at_ns in self._lost_ns.items() if now_ns - at_ns < _TOLD_FOR_NS]
        return [f"{name} loses samples: {self._lost[name]:,} so far" for name in recent]

    def _silence(self, status: Mapping[str, Any], now_ns: int) -> list[str]:
        board = status["board"]
        rate_hz, block = board.get("rate_nominal_hz"), board.get("samples_per_block")
        end = int(board["end_sample_index"])
        if end != self._end or status["phase"] != "running" or not rate_hz or not block:
            self._end, self._arrived_ns = end, now_ns
            return []
        limit_ns = max(_LEAST_SILENCE_NS, _BLOCKS_WITHOUT * block / rate_hz * 1e9)
        silent_ns = now_ns - self._arrived_ns
        return [f"no sample has arrived for {silent_ns / 1e9:.1f} s"] if silent_ns > limit_ns else []
