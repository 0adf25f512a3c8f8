"""The commands under `on:`: which program each of them is, and what of a topology makes that hold in any folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtopipe.model.plan import CommandPlan
from dtopipe.model.sink_types import Found
from dtopipe.topology.schema import OnPart
from dtopipe.topology.sink_plans import user_path

_PYTHONS = ("python", "python3")


def command_plans(part: OnPart | None, folder: Path, environ: Mapping[str, str]) -> dict[str, CommandPlan]:
    """Every command by what it is for, as far as its program is there; `folder`: the topology's."""
    plans = {}
    for event, argv in _given(part).items():
        program = _program(argv[0], folder, environ)
        if isinstance(program, Path):
            plans[event] = CommandPlan(tuple(argv), program, folder)
    return plans


def command_problems(part: OnPart | None, folder: Path, environ: Mapping[str, str]) -> Found:
    """Problems with commands that cannot be run."""
    for event, argv in _given(part).items():
        for number, word in enumerate(argv):
            if "\0" in word:
                yield f"on.{event}[{number}]", "must not hold a NUL character", "take it out"
                break
        else:
            program = _program(argv[0], folder, environ)
            if not isinstance(program, Path):
                yield f"on.{event}[0]", *program
            elif (script := _script(program, argv)) and not (folder / user_path(script)).is_file():
                what = f"there is no file {folder / script} for {program.name} to run"
                yield f"on.{event}[1]", what, f"its path is relative to {folder}"


def recorded_commands(document: Any, folder: Path) -> Any:
    """The part `on:` of a topology as its runs record it: with whole paths, so that it holds in any folder."""
    if not isinstance(document, dict):
        return document
    return {
        event: [_whole(word, folder) for word in argv] if isinstance(argv, list) else argv
        for event, argv in document.items()
    }


def _given(part: OnPart | None) -> dict[str, list[str]]:
    return {} if part is None else part.model_dump(exclude_none=True)


def _program(word: str, folder: Path, environ: Mapping[str, str]) -> Path | tuple[str, str]:
    """Where a command's program is, else what is wrong and the way out."""
    if not word.strip():
        return "the program is empty", "write its name, or its path"
    beside = folder / user_path(word)
    if Path(word).name != word:
        if not beside.is_file():
            return f"there is no program {beside}", f"its path is relative to {folder}"
        return beside if os.access(beside, os.X_OK) else _not_executable(beside)
    found = shutil.which(word, path=environ.get("PATH", os.defpath))
    if found is not None:
        return Path(found).absolute()
    if beside.is_file():
        return beside if os.access(beside, os.X_OK) else _not_executable(beside)
    if word in _PYTHONS and sys.executable:
        # The one that runs dtopipe, which need not be on the PATH.
        return Path(sys.executable)
    return f"there is no program {word!r} on the PATH, nor in {folder}", "install it, or write its path"


def _not_executable(path: Path) -> tuple[str, str]:
    interpreter = "python" if path.suffix == ".py" else "sh"
    return f"{path} may not be executed", f"chmod +x {path.name}, or write [{interpreter}, {path.name}]"


def _script(program: Path, argv: list[str]) -> str:
    """The file that a Python is to run; empty where it is to run none, or it is another program."""
    is_python = program.name.startswith("python")
    return argv[1] if is_python and len(argv) > 1 and not argv[1].startswith("-") else ""


def _whole(word: Any, folder: Path) -> Any:
    if not isinstance(word, str) or not word or word.startswith("-") or "${" in word or "\0" in word:
        return word
    path = folder / user_path(word)
    return str(path.absolute()) if path.is_file() else word
