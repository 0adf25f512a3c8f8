"""Which types of sinks there are, and where their writers and readers live; nothing is imported before it is used."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.sinks.contract import OutputReader, SinkWriter

ENTRY_POINTS = "dtopipe.sinks"

WRITERS: Mapping[str, str] = {
    "csv": "dtopipe.sinks.text.csv:CsvWriter",
    "hbuf": "dtopipe.sinks.hbuf.writer:HbufWriter",
    "jsonl": "dtopipe.sinks.text.jsonl:JsonlWriter",
    "parquet": "dtopipe.sinks.parquet.writer:ParquetWriter",
    "postgres": "dtopipe.sinks.postgres.writer:PostgresWriter",
    "sqlite": "dtopipe.sinks.sqlite.writer:SqliteWriter",
}
READERS: Mapping[str, str] = {
    "csv": "dtopipe.sinks.text.csv_reader:CsvReader",
    "hbuf": "dtopipe.sinks.hbuf.reader:HbufReader",
    "jsonl": "dtopipe.sinks.text.jsonl_reader:JsonlReader",
    "parquet": "dtopipe.sinks.parquet.reader:ParquetReader",
    "postgres": "dtopipe.sinks.postgres.reader:PostgresReader",
    "sqlite": "dtopipe.sinks.sqlite.reader:SqliteReader",
}


def sink_types() -> dict[str, str]:
    """`module:Class` of every type of sink, plug-ins included. Ours cannot be overridden."""
    # A tenth of a process's start, which only the names of plug-ins need.
    from importlib.metadata import entry_points

    plugged = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return {**plugged, **WRITERS}


def load_writer(sink_type: str) -> Callable[..., SinkWriter]:
    """The writer class of that type. Raises SinkError if there is none, or it cannot be imported."""
    writer: Callable[..., SinkWriter] = _loaded(sink_type, WRITERS if sink_type in WRITERS else sink_types())
    return writer


def load_reader(sink_type: str) -> Callable[..., OutputReader]:
    """The reader class of that type; a plug-in's is its writer's attribute `Reader`. Raises SinkError."""
    if sink_type in READERS:
        reader: Callable[..., OutputReader] = _loaded(sink_type, READERS)
        return reader
    writer = load_writer(sink_type)
    if not hasattr(writer, "Reader"):
        raise SinkError(
            None, "its plug-in has no Reader", f"outputs of type {sink_type} are for its own programs to read"
        )
    plugged: Callable[..., OutputReader] = writer.Reader
    return plugged


def _loaded(sink_type: str, known: Mapping[str, str]) -> Any:
    if sink_type not in known:
        near = difflib.get_close_matches(sink_type, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SinkError(
            None,
            f"there is no sink of type {sink_type!r}",
            f"{hint}installed: {', '.join(sorted(known))}; others come as plug-ins (entry point {ENTRY_POINTS})",
        )
    module, _, name = known[sink_type].partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SinkError(
            None, f"sink type {sink_type!r} cannot be loaded: {error}", "reinstall what brings it"
        ) from error
