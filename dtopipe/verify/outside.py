"""What a record names outside of its run folder: used only where its user says so.

A run folder may come from anybody. A path elsewhere is one of this user's own files then, and a server is one that
would be sent this user's password. `--outside` says that the run is one's own, and the topology beside the record has
to name the same output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dtopipe.host.recorded_path import fault_of, special_fault
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import SinkUnavailable, TopologyError
from dtopipe.topology.recorded import resolved_part
from dtopipe.topology.source_locations import read_yaml

_HINT = "; --outside if this is your own run"
_NOT_NAMED = "; topology.yaml beside the record does not name it, so that it is not used"
_ONE_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_HERE = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1|/.*", re.DOTALL)
# What a DSN may say besides without naming a server or a file.
_HARMLESS = {"port", "dbname", "user", "sslmode", "application_name"}


class OutputOutside(SinkUnavailable):
    """An output that is not opened, because it lies outside of the run folder and nobody has said that it may."""


def why_not_opened(folder: RunFolder, record: Mapping[str, Any], name: str) -> str:
    """Empty if this output of a record may be opened, else why it may not."""
    path = record["sinks"][name]["path"]
    if path is None:
        return _why_not_connected(folder, record, name)
    if record["sinks"][name]["type"] == "postgres":
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
    """True if this part of a topology means a Postgres server here, or the one of a variable, as `dsn: ${PG_DSN}`."""
    dsn, host = part.get("dsn"), part.get("host")
    if part.get("type") != "postgres" or not all(isinstance(each, str | None) for each in (dsn, host)):
        return False
    if any(_ONE_VARIABLE.fullmatch(each or "") for each in (dsn, host)):
        return True
    resolved = resolved_part({"dsn": dsn, "host": host})
    hosts = str(resolved["host"] or "").split(",") if dsn is None else _hosts_of(str(resolved["dsn"]))
    return hosts is not None and all(not each or _HERE.fullmatch(each) for each in hosts)


def _hosts_of(dsn: str) -> list[str] | None:
    """Every host of a DSN; None where it says more than this can tell."""
    try:
        parts = urlsplit(dsn)
        asked = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return None
    if parts.scheme not in ("postgres", "postgresql") or parts.fragment:
        return None
    found = []
    for each in parts.netloc.rpartition("@")[2].split(","):
        bracketed = re.fullmatch(r"\[([^\]]*)\](:\d*)?", each)
        found.append(bracketed[1] if bracketed else unquote(each.partition(":")[0]))
    for key, value in asked:
        if key in ("host", "hostaddr"):
            found += [each.partition(":")[0] if not each.startswith("/") else each for each in value.split(",")]
        elif key not in _HARMLESS:
            return None
    return found


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
    try:
        return Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        return None
