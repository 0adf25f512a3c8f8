"""A topology as its runs record it: it runs again from any folder, and holds no password."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtopipe.topology.commands import recorded_commands
from dtopipe.topology.secrets import without_secrets
from dtopipe.topology.sink_plans import user_path
from dtopipe.topology.variables import resolved


def relocated(
    document: Mapping[str, Any], name: str, path_key: str, folder: Path, environ: Mapping[str, str]
) -> dict[str, Any]:
    """The document of a run of this name, with whole paths; variables stay unresolved.

    `folder`: the topology's. `path_key`: of the board, the key of its file.
    """
    found = {"name": name, **{key: value for key, value in document.items() if key != "name"}}
    path = found["board"].get(path_key)
    if isinstance(path, str):
        given = user_path(resolved(path, environ, {}))
        found["board"] = {**found["board"], path_key: path if given.is_absolute() else str(folder / path)}
    if "on" in found:
        found["on"] = recorded_commands(found["on"], folder)
    return without_secrets(found)
