"""Names that Windows has for itself, or cannot have, are told before a run, each with its reason."""

from __future__ import annotations

import pytest

from dtopipe.host.file_names import trouble_of_name


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("out:put.csv", "cannot have ':' in it"),
        ("a?.csv", "cannot have '?' in it"),
        ("CON", "is a device"),
        ("sub/nul.csv", "is a device"),
        ("com1.csv", "is a device"),
        ("C:/data/aux", "is a device"),
        ("ends.", "takes the '.' from the end"),
        ("ends /t.csv", "takes the ' ' from the end"),
        ("C:t.csv", "another folder of drive C:"),
        ("a\0b", "NUL"),
    ],
)
def test_what_windows_cannot_have_is_told(path: str, words: str) -> None:
    assert words in trouble_of_name(path, of_windows=True)


@pytest.mark.parametrize(
    "path", ["C:/data/run.csv", r"D:\data\run.csv", r"\\server\share\run.csv", "console.csv", "a.b.csv", "../x.csv"]
)
def test_what_it_has_is_not(path: str) -> None:
    assert trouble_of_name(path, of_windows=True) == ""


def test_elsewhere_all_names_are_names_but_for_a_nul() -> None:
    assert trouble_of_name("CON: a?.csv ", of_windows=False) == ""
    assert trouble_of_name("a\0b", of_windows=False)
