"""What the board or the clocks did in a run that its outputs cannot show: words of the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# More than a run makes; a record may be anybody's.
_MOST_READ = 20


@dataclass(frozen=True, slots=True)
class Remark:
    """One of them. `is_lack`: the run has not all that it was to have, though no output has a gap for it."""

    text: str
    is_lack: bool = False

    def facts(self) -> dict[str, Any]:
        """As in the run record."""
        return {"text": self.text, **({"is_lack": True} if self.is_lack else {})}


def remarks_from(facts: Any) -> tuple[Remark, ...]:
    """What a run record says; nothing of what no run of ours would."""
    if not isinstance(facts, (list, tuple)):
        return ()
    found = [each for each in facts[:_MOST_READ] if isinstance(each, Mapping) and isinstance(each.get("text"), str)]
    return tuple(Remark(each["text"], each.get("is_lack") is True) for each in found)


def time_text(time_s: float) -> str:
    """How long something was, as people say it: `3.2 s`, `41 min`, `2.5 h`."""
    if time_s < 120:
        return f"{time_s:.3g} s"
    return f"{time_s / 60:.0f} min" if time_s < 7200 else f"{time_s / 3600:.1f} h"
