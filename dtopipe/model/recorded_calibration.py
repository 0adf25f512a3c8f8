"""A calibration as records and outputs have it, read without what only topologies need."""

from __future__ import annotations

from typing import Any

from dtopipe.model.calibration import Calibration


def calibration_from(facts: Any, key: str) -> Calibration:
    """The calibration of such facts, at `key` of a description. Raises Misfit.

    The model of topologies checks it, whose library takes a worker longer to load than all else: only where there is
    one.
    """
    from dtopipe.model.calibration_part import calibration_from as checked

    return checked(facts, key)
