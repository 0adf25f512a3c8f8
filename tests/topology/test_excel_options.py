"""CSV for a spreadsheet in a topology: what cannot be is refused with its place, what will not fit is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dtopipe.model.errors import TopologyError
from dtopipe.topology.load import load_plan
from dtopipe.topology.single_sink import convertible_options

HEAD = "board: {type: simulated}\ntask: {rate_hz: 1000, channels: [{name: a}]}\n"


def sheet(tmp_path: Path, options: str, more: str = "") -> Path:
    file = tmp_path / "t.yaml"
    file.write_text(f"{HEAD}{more}sinks:\n  t: {{type: csv, path: t.csv, {options}}}\n")
    return file


@pytest.mark.parametrize(
    ("options", "key", "words", "remedy"),
    [
        ("dialect: exel", "dialect", "must be one of rfc4180, excel", "did you mean excel?"),
        ("dialect: excel, layout: long", "dialect", "excel has no layout long", "take out layout"),
        ("dialect: excel, locale: de_XX", "locale", "there is no locale 'de_XX'", "did you mean de_DE?"),
        ("dialect: excel, locale: deutsch", "locale", "there is no locale 'deutsch'", "written like de_DE"),
        ("dialect: excel, locale: de_DE, decimal: ','", "decimal", "has a decimal sign of its own", "take out"),
        ("dialect: excel, decimal: ',', delimiter: ','", "delimiter", "a number would be two cells", "semicolon"),
        ("dialect: excel, locale: de_DE, delimiter: comma", "delimiter", "a number would be two cells", "semicolon"),
        ("dialect: excel, decimal: ';'", "decimal", "must be one of", "decimal sign"),
        ("locale: de_DE", "locale", "dialect rfc4180 has none", "add dialect: excel"),
        ("dialect: rfc4180, delimiter: tab", "delimiter", "dialect rfc4180 has none", "add dialect: excel"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    tmp_path: Path, options: str, key: str, words: str, remedy: str
) -> None:
    with pytest.raises(TopologyError) as raised:
        load_plan(sheet(tmp_path, options), environ={}, rehearsal=True)
    (problem,) = raised.value.problems
    assert problem.key == f"sinks.t.{key}"
    assert problem.place is not None
    assert (problem.place.line, words in problem.message, remedy in problem.remedy) == (4, True, True)


def test_a_locale_without_its_extra_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(TopologyError, match=r'sinks.t.locale: .*\n.*pip install "dtopipe\[excel\]"'):
        load_plan(sheet(tmp_path, "dialect: excel, locale: de_DE"), environ={}, rehearsal=True)
    assert load_plan(sheet(tmp_path, "dialect: excel, decimal: ','"), environ={}, rehearsal=True).sinks


@pytest.mark.parametrize(
    ("text", "is_told"), [('"\\t"', "tab"), ("tab", "tab"), ("';'", ";"), ("semicolon", "semicolon")]
)
def test_a_tab_has_a_name(tmp_path: Path, text: str, is_told: str) -> None:
    (sink,) = load_plan(sheet(tmp_path, f"dialect: excel, delimiter: {text}"), environ={}, rehearsal=True).sinks
    assert sink.options["delimiter"] == is_told


@pytest.mark.parametrize(
    ("options", "duration", "n_warnings"),
    [
        ("dialect: excel", "1048s", 0),
        ("dialect: excel", "1049s", 1),
        ("dialect: excel", "", 0),
        ("dialect: rfc4180", "1049s", 0),
        ("dialect: excel, split: 15min", "1h", 0),
        ("dialect: excel, split: 20min", "1h", 1),
        ("dialect: excel, split: 20min", "", 1),
        ("dialect: excel, split: 20min", "10min", 0),
        ("dialect: excel, split: 1MiB", "", 0),
        ("dialect: excel, split: 1GiB", "", 1),
        ("dialect: excel, every: 2ms", "2000s", 0),
        ("dialect: excel, every: 2ms", "2100s", 1),
    ],
)
def test_more_rows_than_a_sheet_takes_are_a_warning(
    tmp_path: Path, options: str, duration: str, n_warnings: int
) -> None:
    more = f"duration: {duration}\n" if duration else ""
    warnings = load_plan(sheet(tmp_path, options, more), environ={}, rehearsal=True).warnings
    assert len(warnings) == n_warnings
    for warning in warnings:
        assert (warning.key, "rows" in warning.message) == ("sinks.t", True)
        assert "set split: " in warning.remedy
        assert ("split: 15min" in warning.remedy) == ("2ms" not in options)


def test_a_conversion_has_the_same_options() -> None:
    found = convertible_options("csv", ["dialect=excel", "decimal=comma", "delimiter=tab"])
    assert found == {"dialect": "excel", "decimal": "comma", "delimiter": "tab"}
    with pytest.raises(TopologyError, match="a number would be two cells"):
        convertible_options("csv", ["dialect=excel", "decimal=comma", "delimiter=comma"])
