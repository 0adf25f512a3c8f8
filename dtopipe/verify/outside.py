"""What a record names outside of its run folder: used only where its user says so.

A run folder may come from anybody. A path elsewhere is one of this user's own files then, and a server is one that
would be sent this user's password. `--outside` says that the run is one's own, and the topology beside the record has
to name the same output.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtopipe.host.recorded_path import fault_of, special_fault
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import SinkUnavailable, TopologyError
from dtopipe.model.references import referred
from dtopipe.sinks.parts.names import with_place
from dtopipe.sinks.registry import known_sink_type
from dtopipe.topology.recorded import resolved_part
from dtopipe.topology.source_locations import read_yaml

_HINT = "; --outside if this is your own run"
_NOT_NAMED = "; topology.yaml beside the record does not name it, so that it is not used"


class OutputOutside(SinkUnavailable):
    """An output that is not opened, because it lies outside of the run folder and nobody has said that it may."""


def why_not_opened(folder: RunFolder, record: Mapping[str, Any], name: str) -> str:
    """Empty if this output of a record may be opened, else why it may not."""
    path = record["sinks"][name]["path"]
    if path is None:
        return _why_not_connected(folder, record, name)
    if known_sink_type(record["sinks"][name]["type"]).server is not None:
        return "is a database and a file at once, as its record says; that was changed, so that it is not used"
    fault = fault_of(folder.path, path)
    if fault is None:
        return ""
    if not fault.is_outside:
        return fault.message
    if not folder.outside:
        return fault.message + _HINT
    if _named_path(folder, name) != Path(path):
        return fault.message + _NOT_NAMED
    special = special_fault(folder.path / path)
    return special.message if special else ""


def needs_outside(folder: RunFolder, record: Mapping[str, Any]) -> bool:
    """True if a command that reads this run's outputs has to be told `--outside`, to open all that it may."""
    own = RunFolder(folder.path, outside=True)
    return any(
        why_not_opened(folder, record, name) and not why_not_opened(own, record, name) for name in record["sinks"]
    )


def _why_not_connected(folder: RunFolder, record: Mapping[str, Any], name: str) -> str:
    """A server on this machine, or one that the environment names, is not the choice of who wrote the record."""
    part = record["topology"].get("sinks", {}).get(name, {})
    if is_own_server(part):
        return ""
    where = f"is on a server that the record names: {record['sinks'][name].get('target')}"
    if not folder.outside:
        return where + _HINT
    return "" if _named_part(folder, name) == part else where + _NOT_NAMED


def is_own_server(part: Mapping[str, Any]) -> bool:
    """True if this part of a topology means a server here, or the one of a variable, as `dsn: ${PG_DSN}`."""
    server = known_sink_type(part.get("type")).server
    return server is not None and bool(referred(server.is_own)(part, resolved_part))


def _named_part(folder: RunFolder, name: str) -> Any:
    """What the topology beside the record says of this sink; None if that cannot be read."""
    try:
        placed = read_yaml(folder.path / "topology.yaml")
    except TopologyError:
        return None
    # With keys that stand there twice nobody knows what was meant.
    sinks = None if placed.problems else placed.document.get("sinks")
    return sinks.get(name) if isinstance(sinks, dict) else None


def _named_path(folder: RunFolder, name: str) -> Path | None:
    part = _named_part(folder, name)
    path = part.get("path") if isinstance(part, dict) else None
    if not isinstance(path, str):
        return None
    text = str(resolved_part({"path": path})["path"])
    text = with_place(text) if part.get("split") is not None else text
    try:
        return Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        return None
