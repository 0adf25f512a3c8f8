"""The same facts for programs: one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import iso_utc
from dtopipe.report.findings import Findings
from dtopipe.report.traces import Trace
from dtopipe.wire.gap_lines import gap_line

_FROM_RECORD = (
    "run_id", "started_at", "finished_at", "ended_by", "simulated", "insecure", "acquired", "clock", "channels",
    "sinks", "disks", "metadata", "metadata_changes", "versions", "host", "remarks", "first_verdict",
)  # fmt: skip


def document_of(found: Findings) -> dict[str, Any]:
    """JSON-able. Values of `traces` are null where there is none."""
    record, history = found.record, found.history
    return {
        "run": found.asked.run,
        "folder": str(found.folder),
        "made_at": found.made_at,
        "verdict": record.get("verdict"),
        "in_progress": bool(found.asked.held),
        **({"held": found.asked.held} if found.asked.held else {}),
        "what_to_do": list(found.asked.what_to_do),
        "troubles": list(found.troubles),
        **{key: record[key] for key in _FROM_RECORD if key in record},
        "calibrations": [asdict(meaning) for meaning in found.meanings],
        "limits": [limit.facts() for limit in found.limits],
        "marks": [mark.to_json() for mark in found.marks],
        "gaps": [gap_line(sink, gap) for sink, gaps in found.gaps.items() for gap in gaps],
        "look": {name: look for name in record["sinks"] if (look := found.look(name))},
        "processes": [
            {
                "process": life.process,
                "starts": life.starts,
                "stretches": [
                    {"from": iso_utc(begin), "to": None if end is None else iso_utc(end), "works": works}
                    for begin, end, works in life.stretches
                ],
            }
            for life in history.lives
        ],
        "events": [
            {"event": each.event, "process": each.process, "t_utc": iso_utc(each.t_utc_ns), "text": each.text}
            for each in history.told
        ],
        "events_left_out": history.left_out,
        "clock_pairs": {
            "sample_index": found.clock.sample_index.tolist(),
            "t_mono_ns": found.clock.t_mono_ns.tolist(),
            "t_utc_ns": found.clock.t_utc_ns.tolist(),
        },
        "progress": [stretch.to_json() for stretch in found.stretches],
        **({"status": dict(found.asked.status)} if found.asked.status else {}),
        "topology": dict(found.topology),
        "traces": [_trace(trace) for trace in found.traces],
    }


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "channel": trace.channel.name,
        "unit": trace.channel.unit,
        "output": trace.output,
        "samples_a_part": trace.step,
        "samples_a_row": trace.every,
        **({"trouble": trace.trouble} if trace.trouble else {}),
        "sample_index": trace.index.tolist(),
        "t_s": trace.t_s.tolist(),
        "lowest": _numbers(trace.lowest),
        "highest": _numbers(trace.highest),
    }


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
