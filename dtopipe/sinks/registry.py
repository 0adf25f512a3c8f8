"""Which types of sinks there are; each is described by its own folder, and imported no further before it is used.

A plug-in's entry point in `dtopipe.sinks` names its SinkType, or just its writer's class.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.model.plug_in_names import plugged
from dtopipe.model.references import Reference, referred
from dtopipe.model.sink_types import SinkType
from dtopipe.sinks.contract import OutputReader, SinkWriter

ENTRY_POINTS = "dtopipe.sinks"

OURS: dict[str, Reference] = {
    "csv": "dtopipe.sinks.text.sink_types:CSV",
    "hbuf": "dtopipe.sinks.hbuf.sink_type:HBUF",
    "hdf5": "dtopipe.sinks.hdf5.sink_type:HDF5",
    "jetstream": "dtopipe.sinks.jetstream.sink_type:JETSTREAM",
    "jsonl": "dtopipe.sinks.text.sink_types:JSONL",
    "parquet": "dtopipe.sinks.parquet.sink_type:PARQUET",
    "postgres": "dtopipe.sinks.postgres.sink_type:POSTGRES",
    "sqlite": "dtopipe.sinks.sqlite.sink_type:SQLITE",
}
# What writes `.dt-raw` files: journals, and what is saved or fetched for a repair.
RAW = "hbuf"
# What stands where a sentence shows how a sink is written down.
EXAMPLE = "csv"


def installed() -> dict[str, Reference]:
    """Where each type of sink is described, plug-ins included. Ours cannot be overridden."""
    return {**plugged(ENTRY_POINTS), **OURS}


def sink_type(name: str) -> SinkType:
    """What is known of that type. Raises SinkError if there is none, or what describes it cannot be imported."""
    known = OURS if name in OURS else installed()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SinkError(
            None,
            f"there is no sink of type {name!r}",
            f"{hint}installed: {', '.join(sorted(known))}; others come as plug-ins (entry point {ENTRY_POINTS})",
        )
    return described(name, known[name])


def described(name: str, reference: Reference) -> SinkType:
    """The type that stands there, or of a writer's class what can be known of it. Raises SinkError."""
    found = _imported(name, reference)
    return replace(found, name=name) if isinstance(found, SinkType) else SinkType(name, writer=reference)


def known_sink_type(name: object) -> SinkType:
    """The same, for a name that a record has: of one that is not installed here nothing is known but its name."""
    try:
        return sink_type(str(name))
    except Exception:  # somebody else's code may raise anything
        return SinkType(str(name), writer="")


def load_writer(name: str) -> Callable[..., SinkWriter]:
    """The writer class of that type. Raises SinkError if there is none, or it cannot be imported."""
    writer: Callable[..., SinkWriter] = _imported(name, sink_type(name).writer)
    return writer


def load_reader(name: str) -> Callable[..., OutputReader]:
    """The reader class of that type. Raises SinkError."""
    kind = sink_type(name)
    if kind.reader is not None:
        reader: Callable[..., OutputReader] = _imported(name, kind.reader)
        return reader
    writer = load_writer(name)
    if not hasattr(writer, "Reader"):
        raise SinkError(None, "its plug-in has no Reader", f"outputs of type {name} are for its own programs to read")
    plugged: Callable[..., OutputReader] = writer.Reader
    return plugged


def _imported(name: str, reference: Reference) -> Any:
    try:
        return referred(reference)
    except (ImportError, AttributeError) as error:
        raise SinkError(None, f"sink type {name!r} cannot be loaded: {error}", "reinstall what brings it") from error
