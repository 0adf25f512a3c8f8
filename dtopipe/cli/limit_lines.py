"""Limits and commands in words: below the live table, and in what `check` shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from dtopipe.core.lifecycle import SinkState
from dtopipe.model.limits import LimitPlan
from dtopipe.model.plan import CommandPlan
from dtopipe.model.quantities import spelled
from dtopipe.model.shown import shown

_LASTS, _WAS = "bold red", "yellow"
# Each, of those that are crossed now, and that were; the record has all.
_MOST_SHOWN = 6
_IN_ORDER = (SinkState.STARTING, SinkState.OPENING, SinkState.READY, SinkState.RUNNING, SinkState.DONE)


def limit_lines(status: Mapping[str, Any]) -> list[Text]:
    """A line for each limit that is crossed now, or was; for what is not watched, and a command that went wrong."""
    limits = status.get("limits") or {}
    now, over = limits.get("now", ()), limits.get("over", ())
    lines = [Text(shown(text), _LASTS) for text in now[:_MOST_SHOWN]]
    lines += [Text(shown(text), _WAS) for text in over[:_MOST_SHOWN]]
    more = max(0, len(now) - _MOST_SHOWN) + max(0, len(over) - _MOST_SHOWN) + limits.get("more", 0)
    if more:
        lines.append(Text(f"{more} more limits were crossed", _WAS))
    watcher = limits.get("watcher") or {}
    if watcher and watcher["condition"] not in _IN_ORDER:
        why = f": {watcher['failure']}" if watcher.get("failure") else ""
        lines.append(Text(shown(f"limits are not watched: {watcher['state']}{why}"), "red"))
    if said := limits.get("not_watched"):
        lines.append(Text(shown(said), _WAS))
    for kind, command in (status.get("on") or {}).items():
        if trouble := command.get("trouble"):
            lines.append(Text(shown(f"on {kind}: {command['command'][0]} {trouble}: see logs/on.{kind}.log"), _WAS))
    return lines


def limit_text(limit: LimitPlan) -> str:
    """`tc1: above 900 degC or below -10 degC for 2s`."""
    unit = f" {limit.unit}" if limit.unit else ""
    sides = " or ".join(f"{side.word} {value:.12g}{unit}" for side, value in limit.limits())
    return f"{limit.channel}: {sides}{f' for {spelled(limit.for_s)}' if limit.for_s else ''}"


def command_text(kind: str, command: CommandPlan) -> str:
    """`on limit: /usr/bin/python3 notify.py`."""
    return f"on {kind}: {shlex.join([str(command.program), *command.argv[1:]])}"
