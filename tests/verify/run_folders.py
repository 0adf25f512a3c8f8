"""Run folders made by the writers themselves, without a process: what `verify` is shown in these tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dtopipe.core.outcome import untriggered_in
from dtopipe.core.triggered_view import TriggeredView
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import Anchor
from dtopipe.model.columns import Columns
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.policy import Layout
from dtopipe.model.quantities import seconds
from dtopipe.model.readings import Readings
from dtopipe.model.reduction import Reduction
from dtopipe.model.span import Cause, Gap, Span, as_one
from dtopipe.model.splitting import Split, samples_a_part
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.model.view import View, samples_a_row
from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.parts.writer import parted
from dtopipe.sinks.registry import load_writer, sink_type
from dtopipe.verify.report import OutputReport, RunReport
from dtopipe.verify.verify import verify_run
from dtopipe.wire.describe import describe_stream
from dtopipe.wire.gap_lines import gap_line, json_line

ANCHOR = Anchor(0, 5_000_000_123, 1_763_900_000_000_000_456)
HOUR_NS = 3_600_000_000_000
STEP = 50
SINKS = {
    "archive": {"type": "hbuf", "path": "archive.dt-raw"},
    "view": {"type": "csv", "path": "view.csv"},
    "lines": {"type": "jsonl", "path": "lines.jsonl"},
    "table": {"type": "sqlite", "path": "run.db"},
    "columns": {"type": "parquet", "path": "columns.parquet"},
    "arrays": {"type": "hdf5", "path": "arrays.h5"},
    "sheet": {"type": "csv", "path": "sheet.csv", "dialect": "excel", "decimal": ","},
}
LONG_SINKS = {name: {**sink, "layout": "long"} for name, sink in SINKS.items() if name not in ("archive", "sheet")}
NOT_ITS_OWN = ("type", "path", "layout", "channels", "every", "reduce", "split", "when", "pre", "post")
N_SAMPLES = 1000
OVERRUN = Span(300, 340)


def stream_of(names: Sequence[str] = ("flux", "tc1"), **other: Any) -> Stream:
    """Of 3 kHz: its period is no whole number of nanoseconds."""
    channels = tuple(
        Channel(name, "V", scale=10 / 65536, offset=0.25, range=(-5.0, 5.0), physical_channel=number)
        for number, name in enumerate(names)
    )
    told: dict[str, Any] = {"run_id": "run-1", "dtype": "int16", "rate_hz": 3000.0, **other}
    return Stream(
        task="heat", device="simulated", channels=channels, samples_per_block=STEP,
        started_at="2026-11-23T09:00:00Z", **told,
    )  # fmt: skip


def items_of(stream: Stream, stop: int = N_SAMPLES) -> list[Block | Gap]:
    """Blocks of random codes, a hole in them, and some samples whose sensor is open."""
    codes = np.random.default_rng(7).integers(-32768, 32768, (len(stream.channels), stop)).astype(np.int16)
    found: list[Block | Gap] = []
    at = 0
    while at < stop:
        if at == OVERRUN.start:
            t_utc_ns = ANCHOR.t_utc_ns + stream.clock.offset_ns(at)
            found.append(Gap(OVERRUN, Cause.BOARD_OVERRUN, t_utc_ns))
            at = OVERRUN.stop
            continue
        end = min(at + STEP, stop, OVERRUN.start if at < OVERRUN.start else stop)
        status = None
        if at == 500:
            status = np.zeros((len(stream.channels), end - at), np.int8)
            status[0, 3:9] = 1
        found.append(Block(len(found), at, np.ascontiguousarray(codes[:, at:end]), ANCHOR, status))
        at = end
    return found


def readings(stream: Stream, start: int, stop: int) -> Readings:
    """Readings with something in every column, and nothing in some."""
    at = range(start, stop)
    t_utc_ns = [ANCHOR.t_utc_ns + 1_000_003 * i for i in at]
    return Readings(
        start,
        (
            at,
            [ANCHOR.t_mono_ns + 1_000_003 * i for i in at],
            t_utc_ns,
            [stream.device for _ in at],
            [None if i % 5 == 0 else stream.task for i in at],
            [None if i % 2 else 5_000_000_001 + i for i in at],
            [each - 1 for each in t_utc_ns],
            [None if i % 3 == 0 else ANCHOR.t_utc_ns + i for i in at],
            [1e-3 * i for i in at],
            *([None if (c + i) % 7 == 3 else i * 0.1 + c for i in at] for c in range(len(stream.channels))),
            *(["V" for _ in at] for _ in stream.channels),
            [None if i % 10 else "builtins.OSError" for i in at],
            [None if i % 10 else 'it said "no",\nand "never"' for i in at],
        ),
    )


def _every(sink: Mapping[str, Any], stream: Stream) -> int:
    return samples_a_row(seconds(sink["every"]) if "every" in sink else None, stream.rate_hz)


def record_run(
    folder: Path,
    sinks: Mapping[str, Mapping[str, Any]] = SINKS,
    items: Sequence[Block | Gap | Readings] | None = None,
    stream: Stream | None = None,
) -> Path:
    """A run that ended in order, with these sinks, as `up` leaves it."""
    stream = stream or stream_of()
    items = items_of(stream) if items is None else items
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    facts: dict[str, Any] = {}
    gaps = [item for item in items if isinstance(item, Gap)]
    lines += [json_line(gap_line(None, gap)) for gap in gaps]
    for name, sink in sinks.items():
        chosen = sink.get("channels")
        names = [channel.name for channel in stream.channels]
        numbers = [names.index(each) for each in chosen] if chosen else list(range(len(names)))
        options = {key: value for key, value in sink.items() if key not in NOT_ITS_OWN}
        path = folder / sink["path"] if "path" in sink else None
        output = OutputOptions(path, Layout(sink.get("layout", "wide")))
        stream_taken = stream.selected(numbers)
        view = (
            Reduction(stream_taken, every, sink.get("reduce", "mean")) if (every := _every(sink, stream)) > 1 else None
        )
        written = stream_taken if view is None else view.stream
        part_samples = 0
        if "split" in sink:
            split = Split.of(sink["split"])
            part_samples = samples_a_part(split, written, sink_type(sink["type"]), output.layout)
            make = partial(load_writer(sink["type"]), **options)
            writer: SinkWriter = parted(make, output, lambda stream, samples=part_samples: samples)  # type: ignore[misc]
        else:
            writer = load_writer(sink["type"])(output, **options)
        writer.open(written, 0, resume=False)
        own = _around_events(items, sink, stream) if "when" in sink else items
        for at in range(0, len(own), 4):
            taken = [each.selected(numbers) if isinstance(each, Block) else each for each in own[at : at + 4]]
            writer.append(
                taken if view is None else view.of([each for each in taken if not isinstance(each, Readings)])
            )
            writer.commit()
        writer.append([] if view is None else view.rest())
        position = writer.close()
        own_gaps = [item for item in own if isinstance(item, Gap)]
        lines += [json_line(gap_line(name, gap)) for gap in own_gaps]
        facts[name] = {
            "type": sink["type"], "policy": "block", "path": sink.get("path"), "state": "done", "start": position.start,
            **({} if path else {"target": "the server"}),
            "stop": position.committed, "committed": position.committed, "durable": position.durable,
            "samples": position.samples, "gaps": position.gap_samples, "dropped": position.dropped, "restarts": 0,
            **({"part_samples": part_samples} if part_samples else {}),
            **({"row_samples": every} if every > 1 else {}),
            **({"untriggered": untriggered_in(own_gaps)} if "when" in sink else {}),
        }  # fmt: skip
    end = max(item.span.stop for item in items)
    lost = sum(map(len, gaps))
    record = {
        "run_id": stream.run_id, "name": "lab", "versions": {}, "host": {}, "started_at": stream.started_at,
        "finished_at": stream.started_at, "metadata": {}, "topology": {"name": "lab", "sinks": dict(sinks)},
        "stream": describe_stream(stream), "clock": {"rate_nominal_hz": stream.rate_hz},
        "acquired": {
            "blocks": len(items), "samples": end - lost, "overrun_samples": lost, "end_sample_index": end,
        },
        "channels": {}, "sinks": facts, "verdict": {"state": "INCOMPLETE" if lost else "GOOD", "text": ""},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "gaps.jsonl").write_text("".join(f"{line}\n" for line in lines), newline="\n")
    return folder


def _around_events(
    items: Sequence[Block | Gap | Readings], sink: Mapping[str, Any], stream: Stream
) -> list[Block | Gap | Readings]:
    """What the worker of a triggered sink hands on."""
    plan = TriggerPlan(sink["when"], *(seconds(sink.get(key, 0)) for key in ("pre", "post")))
    view = TriggeredView(View(Columns(stream, None, as_codes=True)), plan, stream, 0)
    told = [item for item in items if not isinstance(item, Readings)]
    return list(as_one([*view.of(told), *view.rest()]))


def verified(folder: Path) -> RunReport:
    """What `verify` finds."""
    found = RunFolder(folder)
    return verify_run(found, found.read_record())


def reports(folder: Path) -> dict[str, OutputReport]:
    """By the outputs' names."""
    return {report.name: report for report in verified(folder).outputs}


def edit_record(folder: Path, change: Any) -> None:
    """Let `change` alter the run record."""
    record = json.loads((folder / "run.json").read_text())
    change(record)
    (folder / "run.json").write_text(json.dumps(record))


def rewrite_parquet(path: Path, change: Any) -> None:
    """The same file with a table that `change` made of its own."""
    pq = sys.modules["pyarrow.parquet"] if "pyarrow.parquet" in sys.modules else __import__("pyarrow.parquet").parquet
    file = pq.ParquetFile(path)
    table = file.read()
    metadata = file.metadata.metadata
    file.close()
    new = change(table).replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
    pq.write_table(new, path)
    # Beside a copy of the file alone there is no commit record.
    path.with_name(path.name + ".dtopipe").unlink(missing_ok=True)
