"""How long a run is, for tables."""

from __future__ import annotations

from datetime import timedelta


def length_text(length_s: float | None) -> str:
    """`4.2 s`, or h:mm:ss from a minute on; empty where it is not known."""
    if length_s is None:
        return ""
    return f"{length_s:.3g} s" if length_s < 60 else str(timedelta(seconds=round(length_s)))
