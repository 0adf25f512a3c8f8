"""Documents for whoever changes the code name only what is there, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dtopipe"
DOCUMENTS = [ROOT / "CONTRIBUTING.md", PACKAGE / "ARCHITECTURE.md"]
# Names that stand for many.
ANY_OF = {"FORMAT": ["csv", "hbuf", "hdf5", "jsonl", "parquet", "postgres", "sqlite", "text"]}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`([\w./*]+/[\w*]+\.(?:py|md|toml|yaml))`", text)
    assert named
    for name in named:
        places = [place / each for place in (ROOT, PACKAGE) for each in _spelled_out(name)]
        assert any(list(place.parent.glob(place.name)) for place in places), name
    for link in re.findall(r"\]\(([^):]+)\)", text):
        assert (document.parent / link).exists(), link


def test_every_package_has_its_place_on_the_page() -> None:
    text = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    for name in packages - {"tasks", "tools"}:
        assert f"`{name}/`" in text, name


def _spelled_out(name: str) -> list[str]:
    names = [name]
    for word, meanings in ANY_OF.items():
        names = [each.replace(word, meaning) for each in names for meaning in meanings]
    return names
