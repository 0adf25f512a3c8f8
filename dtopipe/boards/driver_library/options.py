"""What the board of the driver library can be told, with the defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.boards.simulated_options import Signal, SimulatedOptions
from dtopipe.model.errors import BoardError

BOARD = "dtollib"

# Of the computed samples of `backend: fake`; they mean what they mean to the simulated board.
_OF_THE_FAKE = ("waveform", "frequency_hz", "amplitude", "phase", "seed", "overruns", "max_samples")
_OWN = ("backend", "device", "element")


@dataclass(frozen=True, slots=True)
class DriverLibraryOptions:
    """`device`: the board's name in the driver's list, None is its first. `element`: which of its input subsystems.

    `fake`: what the fake backend's inputs see; None measures.
    """

    device: str | None = None
    element: int = 0
    fake: SimulatedOptions | None = None

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> DriverLibraryOptions:
        """The options in the `board` section's keys. Raises BoardError on what it does not know or cannot be."""
        known = (*_OWN, *_OF_THE_FAKE)
        for key in options:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise BoardError(BOARD, f"there is no option {key!r}", remedy)
        backend, device, element = options.get("backend", "real"), options.get("device"), options.get("element", 0)
        if backend not in ("real", "fake"):
            raise BoardError(BOARD, f"backend cannot be {backend!r}", "there are real and fake")
        if not isinstance(element, int) or element < 0:
            raise BoardError(
                BOARD, f"element cannot be {element!r}", "it is the number of a subsystem, 0 for the first"
            )
        signal = {key: options[key] for key in _OF_THE_FAKE if options.get(key) not in (None, [])}
        return cls(
            device=None if device is None else str(device),
            element=element,
            fake=SimulatedOptions.parse(signal) if backend == "fake" else None,
        )


def signal_keys() -> tuple[str, ...]:
    """What of a channel's options is for the fake backend only."""
    return tuple(Signal.__dataclass_fields__)
