"""Files opened in a spreadsheet of some language, without a window: what its cells are then."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
# Languages as the filter for CSV has them.
LANGUAGES = {"de_DE": 1031, "en_US": 1033}
_UTF_8 = 76
_LONGEST_S = 120


@dataclass(frozen=True)
class Cell:
    """`kind`: `float`, `date`, `string`, or nothing for an empty one."""

    kind: str | None
    value: str
    is_formula: bool


def opened(files: list[Path], folder: Path, locale: str, *, finds_dates: bool) -> dict[str, list[list[Cell]]]:
    """The cells of each file, by its name, as LibreOffice has them in that language."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        pytest.skip("there is no LibreOffice (soffice) here")
    between = ord(";" if locale == "de_DE" else ",")
    told = f"{between},34,{_UTF_8},1,,{LANGUAGES[locale]},false,{str(finds_dates).lower()}"
    # A profile of its own: one that is in use elsewhere would take the files, and convert none.
    command = [
        office, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", "--norestore",
        f"--infilter=CSV:{told}", "--convert-to", "fods", "--outdir", str(folder), *map(str, files),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False, env=environment)
    sheets = {file.name: folder / f"{file.stem}.fods" for file in files}
    assert all(sheet.exists() for sheet in sheets.values()), done.stdout + done.stderr
    return {name: [list(_cells(row)) for row in _rows(sheet)] for name, sheet in sheets.items()}


def _rows(sheet: Path) -> list[ElementTree.Element]:
    return list(ElementTree.parse(sheet).iter(f"{_TABLE}table-row"))


def _cells(row: ElementTree.Element) -> Iterator[Cell]:
    for cell in row.iter(f"{_TABLE}table-cell"):
        kind = cell.get(f"{_OFFICE}value-type")
        told = cell.get(f"{_OFFICE}value") or cell.get(f"{_OFFICE}date-value")
        text = "\n".join("".join(each.itertext()).strip() for each in cell.iter(f"{_TEXT}p"))
        found = Cell(kind, told or text, cell.get(f"{_TABLE}formula") is not None)
        yield from [found] * int(cell.get(f"{_TABLE}number-columns-repeated", "1"))
