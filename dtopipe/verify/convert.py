"""`convert`: a run or a `.dt-raw` file into any sink."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.columns import Columns
from dtopipe.model.derived import DerivationError
from dtopipe.model.errors import Problem, TopologyError, UsageError
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.sink_types import Column
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.model.view import View, samples_a_row
from dtopipe.sinks.contract import OutputOptions, remark_of
from dtopipe.sinks.registry import RAW, known_sink_type, load_writer
from dtopipe.topology.capability import check_capability
from dtopipe.verify.noted import Noted, noted_of_file
from dtopipe.verify.outputs import outputs_of, raw_output
from dtopipe.verify.raw_source import RawSource

# As much as a worker writes between two commits of a fast board: bounded memory, cheap commits.
_COMMIT_SAMPLES = 1_000_000


def raw_file_of(folder: RunFolder, to: str = "to convert from") -> Path:
    """The run's raw file. Raises UsageError if it has none `to` do something with."""
    outputs = outputs_of(folder, folder.read_record())
    raw = raw_output(outputs)
    if raw is not None and raw.path:
        return raw.path
    for output in outputs:
        if output.is_raw and output.not_opened:
            raise UsageError(f"the raw file of {folder.path} is not opened: it {output.not_opened}")
    if any(output.stream.polled for output in outputs):
        raise UsageError(
            f"the run {folder.path} has polled readings, which have no raw file {to}",
            "each of its outputs holds all of them; add another sink to its topology next time",
        )
    raise UsageError(
        f"the run {folder.path} has no raw file {to}", f"add a sink of type {RAW} to its topology next time"
    )


def convert(
    source: Path,
    sink_type: str,
    output: OutputOptions,
    options: Mapping[str, Any],
    on_samples: Callable[[int], None] = lambda samples: None,
    noted: Noted | None = None,
    recalibrate: Callable[[Stream], Stream] = lambda stream: stream,
    every_s: float | None = None,
    reduce: str = "mean",
    on_remark: Callable[[str], None] = lambda remark: None,
) -> Position:
    """Write every sample and gap of a `.dt-raw` file into a new output, with the recording's own times.

    `noted`: what its run folder says of the run; without it, what the file says itself. `recalibrate`: gives the
    recording's channels another meaning. `every_s`, `reduce`: of a view, a row for so long. `on_samples(samples per
    channel so far)` shows progress, `on_remark` is told what the output is not that was promised. Raises UsageError,
    TopologyError, WireError or SinkError; then what was written up to there is committed and complete in itself.
    """
    raw = RawSource(source)
    columns = _columns(raw, recalibrate(raw.stream), sink_type)
    if every_s is not None and not known_sink_type(sink_type).makes_views:
        raise UsageError(f"a sink of type {sink_type} takes every sample as it is", "take --every out")
    view = View(columns, samples_a_row(every_s, raw.stream.rate_hz), reduce)
    _ensure_held(view.stream, sink_type, output.layout)
    known = noted_of_file(raw) if noted is None else noted
    writer = load_writer(sink_type)(output, **options)
    writer.open(view.stream, raw.start, resume=False)
    waiting: list[Block | Gap] = []
    n_waiting = n_written = 0
    try:
        for item in raw.items():
            waiting += view.of([item])
            n_waiting += item.n_samples if isinstance(item, Block) else 0
            if n_waiting * len(view.stream.channels) >= _COMMIT_SAMPLES:
                writer.append(waiting)
                writer.commit()
                n_written += n_waiting
                waiting, n_waiting = [], 0
                on_samples(n_written)
        waiting += view.rest()
    finally:
        writer.append(waiting)
        known.give(writer)
        position = writer.close()
        on_samples(n_written + n_waiting)
    if remark := remark_of(writer):
        on_remark(remark)
    return position


def _columns(raw: RawSource, stream: Stream, sink_type: str) -> Columns:
    try:
        return Columns(stream, None, as_codes=known_sink_type(sink_type).as_codes)
    except DerivationError as error:
        raise UsageError(
            f"{raw.path} cannot be converted: {error}", "name that channel's calibration anew: --calibration new.yaml"
        ) from error


def _ensure_held(stream: Stream, sink_type: str, layout: Layout) -> None:
    """Raises TopologyError where the output cannot hold this stream; nothing of it is there then."""
    columns = [Column(f"channel {channel.name!r}", channel.name, channel.is_raw) for channel in stream.channels]
    found = check_capability(columns, [SinkPlan("output", sink_type, layout=layout)], polled=stream.polled)
    problems = [Problem(None, "", what, "use --layout long") for _, what, _ in found]
    if problems:
        raise TopologyError(problems)


def output_at(path: Path | None, layout: str, on_exists: str) -> OutputOptions:
    """Where a conversion goes. Raises ValueError on a layout or choice that there is not."""
    return OutputOptions(None if path is None else path.absolute(), Layout(layout), OnExists(on_exists))
