"""A sink as its topology has it becomes a plan, with every default filled in."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from dtopipe.model.errors import SinkOptionError
from dtopipe.model.parts import RestartPart, SinkPart
from dtopipe.model.plan import RestartPlan, SinkPlan, TriggerPlan
from dtopipe.model.references import referred
from dtopipe.sinks.parts.names import with_place
from dtopipe.sinks.registry import known_sink_type
from dtopipe.topology.journal import journal_defaults
from dtopipe.topology.options import own_options


def user_path(text: str) -> Path:
    """A path as people write it: `~` is the user's own folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def restart_plan(part: RestartPart | None) -> RestartPlan | None:
    """The same; None where nothing is written of it."""
    return None if part is None else RestartPlan(part.max, part.within, part.backoff)


def _path(part: SinkPart) -> str | None:
    if not part.path:
        return part.path
    path = str(user_path(part.path)) if part.path.startswith("~") else part.path
    return path if part.split is None else with_place(path)


def trigger_plan(part: SinkPart) -> TriggerPlan | None:
    """When it writes; None for always."""
    return None if part.when is None else TriggerPlan(part.when, part.pre or 0.0, part.post or 0.0)


def sink_plan(name: str, part: SinkPart, run_name: str, *, is_journal: bool) -> SinkPlan:
    """The sink of this name in a run of that name."""
    options = own_options(part, SinkPart)
    options.pop("journal", None)
    if is_journal:
        options["journal"] = True
    target = None
    server = known_sink_type(part.type).server
    if server is not None:
        options = dict(referred(server.completed)(options, run_name))
        with contextlib.suppress(SinkOptionError):
            target = str(referred(server.target)(options, run_name))
    plan = SinkPlan(
        name=name,
        type=part.type,
        path=_path(part),
        target=target,
        is_journal=is_journal,
        policy=part.policy_word,
        layout=part.layout,
        channels=None if part.channels is None else tuple(part.channels),
        flush_interval_s=part.flush_interval,
        essential=part.essential,
        on_exists=part.on_exists,
        restart=restart_plan(part.restart) or RestartPlan(),
        stall_limit_s=part.stall_limit,
        on_stall=part.on_stall,
        hung_limit_s=part.hung_limit,
        sync_s=part.sync,
        queue_blocks=part.queue_blocks,
        every_s=part.every,
        reduce=part.reduce,
        split=part.split,
        delay_per_block_s=part.delay_per_block,
        options=options,
        trigger=trigger_plan(part),
    )
    return replace(plan, **journal_defaults(part)) if is_journal else plan
