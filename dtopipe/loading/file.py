"""A file by itself, without a run folder around it: what kind of output it is, and what it says of its run."""

from __future__ import annotations

import contextlib
from pathlib import Path

from dtopipe.loading.source import Source
from dtopipe.model.columns import tabular
from dtopipe.model.errors import SinkError, UsageError, WireError
from dtopipe.model.sink_types import SinkType
from dtopipe.sinks.contract import DescribedReader
from dtopipe.sinks.registry import installed, known_sink_type, load_reader
from dtopipe.wire.commit_snapshot import read_whole_part


def source_of_file(path: Path) -> Source:
    """The output at `path`, a file or the name of its segments. Raises UsageError, SinkError."""
    kind = _kind_of(path)
    reader = load_reader(kind.name)(path, run_id=None)
    if not isinstance(reader, DescribedReader):
        raise SinkError(path, f"an output of type {kind.name} does not say of what run it is", "name its run folder")
    stream = reader.stream()
    return Source(path.name, tabular(stream).stream if kind.is_raw else stream, lambda: reader)


def _kind_of(path: Path) -> SinkType:
    """By the commit record beside it, else by its first bytes, else by what its name ends in."""
    with contextlib.suppress(OSError, WireError):
        snapshot = read_whole_part(path)
        if snapshot is not None:
            return known_sink_type(snapshot.sink_type)
    known = [known_sink_type(name) for name in installed()]
    begins = _first_bytes(path)
    for kind in known:
        if kind.magic and begins.startswith(kind.magic):
            return kind
    named = [kind for kind in known if kind.suffix and path.name.lower().endswith(kind.suffix)]
    if named:
        return max(named, key=lambda kind: len(kind.suffix))
    endings = ", ".join(sorted({kind.suffix for kind in known if kind.suffix}))
    remedy = f"give it the ending of what it is ({endings}), or keep its commit record (.dtopipe) beside it"
    raise UsageError(f"{path} is no output of dtopipe by its name, and has no commit record", remedy)


def _first_bytes(path: Path) -> bytes:
    """Enough of them to tell formats apart; none of an output that is there in segments only."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(16)
    return b""
