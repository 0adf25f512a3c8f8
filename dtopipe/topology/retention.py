"""What waits for outputs to be durable, a journal that retires or another machine, and what that makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Policy
from dtopipe.sinks.registry import known_sink_type

# Segments wait for the slowest output to be durable: what nobody has asked for is synced as a journal is.
DURABLE_EVERY_S = 1.0


def synced_where_waited_for(sinks: Sequence[SinkPlan], unwritten: Sequence[str], *, follows: bool) -> list[SinkPlan]:
    """The same sinks; a BLOCK one is made durable now and then if nothing is written of its `sync` (`unwritten`).

    That is where its journal waits for it, or, without a journal, the machine that the run `follows`.
    """
    has_journal = any(sink.is_journal for sink in sinks)
    if not (any(sink.retires for sink in sinks) or (follows and not has_journal)):
        return list(sinks)
    return [
        replace(sink, sync_s=DURABLE_EVERY_S) if _counts(sink) and sink.name in unwritten else sink for sink in sinks
    ]


def check_retention(sinks: Sequence[SinkPlan], channels: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Problems (key, what, remedy) with `retention: {until: durable}`; `channels` are those of the task."""
    journal = next((sink for sink in sinks if sink.is_journal), None)
    for sink in sinks:
        if sink.options.get("retention", "all") == "all":
            continue
        key = f"sinks.{sink.name}.retention"
        if not sink.is_journal:
            instead = f"write it at sink {journal.name}, or take it out" if journal else "take it out"
            yield key, "only a journal retires segments, and this sink is none", instead
        elif sink.options.get("segment") is None:
            yield key, "only whole segments are retired, and this journal is one file", "add segment: 1GiB"
    if journal is not None and journal.retires:
        yield from _elsewhere(journal, sinks, channels)


def _elsewhere(journal: SinkPlan, sinks: Sequence[SinkPlan], channels: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """What is retired must be somewhere else for good."""
    key, others = f"sinks.{journal.name}.retention", [sink for sink in sinks if _counts(sink) and sink.has_all_samples]
    if not others:
        yield key, "no other BLOCK sink would hold what goes", "add a sink with policy block, or take this out"
        return
    taken = {name for sink in others for name in (sink.channels or channels)}
    nowhere = [name for name in channels if name not in taken]
    if nowhere:
        yield key, f"no other BLOCK sink takes channel {nowhere[0]!r}", "add it to the channels of one"
    # A view and a triggered sink hold it back too.
    for sink in filter(_counts, sinks):
        if sink.sync_s is None and not known_sink_type(sink.type).commits_are_durable:
            what = f"without a sync nothing is durable before the end, and {journal.name} would keep every segment"
            yield f"sinks.{sink.name}.sync", what, f"write sync: 1s, or take retention out of {journal.name}"


def _counts(sink: SinkPlan) -> bool:
    return sink.policy is Policy.BLOCK and not sink.is_journal
