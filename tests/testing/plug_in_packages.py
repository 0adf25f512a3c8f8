"""Packages that `dtopipe plugin new` wrote, found by their entry points as if pip had installed them."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path


def path_with(package: Path, *more: Path) -> str:
    """A PYTHONPATH by which Python finds that package, its distribution's metadata, and `more`."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = package / ".site"
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    return os.pathsep.join(
        filter(None, [str(package / "src"), str(site), *map(str, more), os.environ.get("PYTHONPATH")])
    )
