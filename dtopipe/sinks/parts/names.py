"""What the parts of an output are called: `live-{part}.csv` is `live-0001.csv`, `live-0002.csv`, ..."""

from __future__ import annotations

import re
from pathlib import Path

PLACE = "{part}"


def with_place(path: str) -> str:
    """The path with a place for the number, behind the name where nobody has written one."""
    if PLACE in Path(path).name:
        return path
    name = Path(path).name
    stem, dot, ending = name.rpartition(".")
    named = f"{stem}-{PLACE}.{ending}" if dot and stem else f"{name}-{PLACE}"
    return path.removesuffix(name) + named


def part_path(path: Path, number: int) -> Path:
    """The file of that part, from 1."""
    return path.with_name(path.name.replace(PLACE, f"{number:04d}"))


def parts_there(path: Path) -> dict[int, Path]:
    """The files of parts by their numbers, in order; commit records alone count too, for a file may be lost."""
    found = [part_number(path.name, file.name) for file in path.parent.iterdir()] if path.parent.is_dir() else []
    return {number: part_path(path, number) for number in sorted({each for each in found if each})}


def part_number(pattern: str, name: str) -> int | None:
    """The number of the part whose file, or commit record, has this name; None where it is none."""
    before, _, behind = pattern.partition(PLACE)
    match = re.fullmatch(rf"{re.escape(before)}(\d{{4,}}){re.escape(behind)}(\.dtopipe)?", name)
    return int(match[1]) if match else None
