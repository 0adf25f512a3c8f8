"""Writes the package that a plug-in starts from: a small one that works, whose tests pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dtopipe.model.errors import UsageError

Kind = Literal["sink", "board"]

_TEMPLATES = Path(__file__).parent / "templates"
# As types are written in topologies, modules and names of packages alike.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 40
_NO_TEMPLATE = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache")


@dataclass(frozen=True, slots=True)
class NewPlugIn:
    """What was written: `files` are relative to `folder`."""

    kind: Kind
    type: str
    folder: Path
    files: tuple[Path, ...]


def write_plug_in(kind: Kind, name: str, folder: Path | None = None) -> NewPlugIn:
    """The package for a type of that name, by default in `dtopipe-NAME`; nothing that is there is touched.

    Raises UsageError.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise UsageError(
            f"a {kind} cannot be called {name!r}",
            f"small letters, digits, and - between them; at most {_LONGEST_NAME}, such as strain-gauge",
        )
    folder = Path(f"dtopipe-{name}") if folder is None else folder
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", "name another folder: --to DIR")
        for place, text in _files(kind, name):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            written.append(place)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}", "name another place") from error
    return NewPlugIn(kind, name, folder, tuple(written))


def _files(kind: Kind, name: str) -> Iterator[tuple[Path, str]]:
    """(where in the package, its text) of each file."""
    root = _TEMPLATES / kind
    for path in sorted(root.rglob("*")):
        if path.is_file() and not any(part in _NO_TEMPLATE for part in path.parts):
            place = path.relative_to(root).as_posix()
            yield Path(_named(place, name)), _named(path.read_text(encoding="utf-8"), name)


def _named(text: str, name: str) -> str:
    """The same of that name, as a type, as part of a module, and of a class."""
    module = name.replace("-", "_")
    camel = "".join(part.capitalize() for part in name.split("-"))
    text = re.sub(r"dtopipe_example|test_example", lambda found: found[0].replace("example", module), text)
    return text.replace("example", name).replace("Example", camel).replace("EXAMPLE", module.upper())
