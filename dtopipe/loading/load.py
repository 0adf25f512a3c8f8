"""`dtopipe.load`: finds what a name means, and which of a run's outputs its samples are taken from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dtopipe.host.run_folder import DEFAULT_ROOT, RunFolder, find_run, through_latest
from dtopipe.host.run_marks import marks_of
from dtopipe.loading.file import source_of_file
from dtopipe.loading.run import LoadedRun
from dtopipe.loading.source import Source
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.policy import Policy
from dtopipe.sinks.contract import PartReader, marks_in
from dtopipe.sinks.registry import load_reader
from dtopipe.verify.outputs import Output, outputs_of
from dtopipe.wire.raw_files import is_in_segments


def load(run: str | os.PathLike[str], *, run_dir: str | os.PathLike[str] = DEFAULT_ROOT) -> LoadedRun:
    """A recorded run, to be read lazily: `dtopipe.load("heat-flux/latest").frame(["tc1"], span=("10s", "20s"))`.

    `run`: a run folder, also one that was copied from elsewhere; `name`, `name/<start>` or `name/latest` below
    `run_dir`; an output of a run, a file alone, or a `.dt-raw` file of the driver library's. A run in progress gives
    what is committed by now. Raises UsageError for what is not there, SinkError for what cannot be read.
    """
    path = through_latest(Path(run))
    if path.is_file() and path.name != "run.json":
        return _of_file(path)
    if not path.is_dir() and is_in_segments(path):
        return _of_file(path)
    folder = find_run(os.fspath(run), Path(run_dir))
    record = folder.read_record()
    outputs = _sources(outputs_of(folder, record), record)
    if not outputs:
        raise UsageError(f"the run {folder.path} has no output that can be read here", "see: dtopipe verify")
    return LoadedRun(folder.path, outputs, record, marks_of(folder.path))


def _of_file(path: Path) -> LoadedRun:
    """The file's own run, where it stands in one's folder; else the file alone."""
    path = path.absolute()
    for above in path.parents:
        if not (above / "run.json").is_file():
            continue
        folder = RunFolder(above)
        record = folder.read_record()
        outputs = outputs_of(folder, record)
        own = [output.name for output in outputs if output.path is not None and output.path.absolute() == path]
        if own:
            found = sorted(_sources(outputs, record), key=lambda source: source.name != own[0])
            return LoadedRun(folder.path, found, record, marks_of(folder.path))
    source = source_of_file(path)
    return LoadedRun(path, [source], {}, marks_in(source.reader()))


def _sources(outputs: list[Output], record: Mapping[str, Any]) -> list[Source]:
    """The outputs that may be opened, the best first."""
    return [Source(output.name, output.row_stream, output.reader) for output in best_first(outputs)]


def best_first(outputs: Sequence[Output]) -> list[Output]:
    """Those that may be opened, what lacks least and is read quickest first."""
    return sorted((output for output in outputs if not output.not_opened), key=_shortcomings)


def _shortcomings(output: Output) -> tuple[Any, ...]:
    """Sorts by what an output lacks of the run, then by how quickly a part of it is found; ties stay in order."""
    lacks = int(output.record.get("gaps") or 0)
    is_there = output.path is None or output.path.exists() or is_in_segments(output.path)
    return (
        not is_there,
        output.trigger is not None,
        not output.has_all_samples,
        output.policy is not Policy.BLOCK,
        -len(output.row_stream.channels),
        lacks,
        output.retained_from() > 0,
        not _finds_parts(output),
        # Of texts every number has to be read as one.
        output.kind.is_text,
    )


def _finds_parts(output: Output) -> bool:
    """True for a type whose reader need not read everything; a database on a server is not asked before a file."""
    try:
        return output.path is not None and hasattr(load_reader(output.type), PartReader.rows_within.__name__)
    except DtopipeError:
        return False
