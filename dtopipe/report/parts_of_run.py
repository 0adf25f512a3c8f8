"""The parts of a page that tell of the run itself: gaps, processes, events, metadata, topology, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.span import Gap
from dtopipe.report.charts import lives_chart
from dtopipe.report.findings import Findings
from dtopipe.report.markup import Markup, joined, lines, plain, table, tag

_MOST_GAPS = 200


def gaps(found: Findings) -> Markup:
    """What each output lacks, and why."""
    rows = [(name or "the board", *row) for name, own in found.gaps.items() for row in by_cause(own)]
    if not rows:
        return tag("p", found.as_far_as_read("gaps.jsonl", "No gap is on record."))
    parts = [table("Gaps, by cause", ("whose", "cause", "gaps", "samples"), rows, numbers=2)]
    single = [
        (name or "the board", gap.cause.value, iso_utc(gap.t_utc_ns), f"{gap.span.start:,}", f"{gap.span.stop:,}")
        for name, own in found.gaps.items()
        for gap in own
    ]
    heads = ("whose", "cause", "when", "from", "to")
    parts.append(
        table("Each of them" if len(single) <= _MOST_GAPS else "The first of them", heads, single[:_MOST_GAPS], 2)
    )
    if len(single) > _MOST_GAPS:
        parts.append(tag("p", f"{len(single) - _MOST_GAPS:,} more are in gaps.jsonl."))
    return joined(parts)


def by_cause(own: Sequence[Gap]) -> list[tuple[str, str, str]]:
    """Cause, how many gaps, how many samples."""
    counted: dict[str, tuple[int, int]] = {}
    for gap in own:
        number, samples = counted.get(gap.cause.value, (0, 0))
        counted[gap.cause.value] = number + 1, samples + len(gap)
    return [(cause, f"{number:,}", f"{samples:,}") for cause, (number, samples) in counted.items()]


def processes(found: Findings) -> Markup:
    """When each process worked, and how often it was started."""
    lives = [life for life in found.history.lives if life.stretches]
    if not lives:
        return tag("p", "No event tells of processes.")
    begin_ns = min(life.stretches[0][0] for life in lives)
    latest = max(edge for life in lives for begin, end, _ in life.stretches for edge in (begin, end or begin))
    finished = found.record.get("finished_at")
    end_ns = max(latest, utc_ns(finished) if finished else utc_ns(found.made_at))
    rows = [(life.process, f"{life.starts:,}", f"{max(0, life.starts - 1):,}") for life in lives]
    return joined(
        [
            tag("figure", lives_chart("processes", lives, begin_ns, end_ns)),
            tag("p", "Green: it worked; red: it was dead, away, silent, or held up."),
            table("Processes, by their events", ("process", "starts", "restarts"), rows, numbers=2),
        ]
    )


def events(found: Findings) -> Markup:
    """What was not ordinary."""
    history = found.history
    if not history.told:
        return tag("p", found.as_far_as_read("events.jsonl", "Nothing happened that does not happen in every run."))
    rows = [(each.event, each.process, iso_utc(each.t_utc_ns), each.text) for each in history.told]
    more = f"{history.left_out:,} between them are in events.jsonl." if history.left_out else ""
    shown = table("What was not ordinary", ("event", "process", "when", "details"), rows)
    return joined([shown, tag("p", more) if more else Markup()])


def calibration(found: Findings) -> Markup:
    """How values are made, and by which certificate."""
    rows = [
        (each.channel, each.unit, each.how, each.id, each.date, each.valid_until, each.validity)
        for each in found.meanings
    ]
    if not rows:
        return Markup()
    heads = ("channel", "unit", "its values", "certificate", "dated", "valid until", "validity")
    return table("How values are made", heads, rows)


def metadata(found: Findings) -> Markup:
    """What people said of the run, and what they changed."""
    said: Mapping[str, Any] = found.record.get("metadata") or {}
    parts = []
    if said:
        parts.append(table("Metadata", ("key", "value"), [(key, plain(value)) for key, value in said.items()]))
    changes = [change for change in found.record.get("metadata_changes", []) if isinstance(change, Mapping)]
    if changes:
        keys = list(dict.fromkeys(key for change in changes for key in change))
        rows = [[plain(change.get(key, "")) for key in keys] for change in changes]
        parts.append(table("What was changed of them", keys, rows))
    return joined(parts) if parts else tag("p", "None were given.")


def topology(found: Findings) -> Markup:
    """The topology as it ran; passwords are variables."""
    import yaml

    text = yaml.safe_dump(dict(found.topology), allow_unicode=True, sort_keys=False)
    return tag("pre", tag("code", lines(text.rstrip("\n"))), tabindex="0", aria_label="The topology, in YAML")


def versions(found: Findings) -> Markup:
    """Which programs, and on which machine."""
    record = found.record
    rows = [(f"{group} {key}", plain(value)) for group in ("versions", "host") for key, value in _part(record, group)]
    rows.append(("run id", str(record["run_id"])))
    return table(
        "Programs and machine", ("what", "which"), [(name.removeprefix("versions "), text) for name, text in rows]
    )


def _part(record: Mapping[str, Any], group: str) -> list[tuple[str, Any]]:
    return list((record.get(group) or {}).items())
