"""The newest values in a terminal: nothing cut, nothing invented."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dtopipe.cli.channel_lines import ChannelLines, sparkline
from dtopipe.model.newest import NewestValue, NewestValues


def test_a_sparkline_goes_from_the_lowest_to_the_highest_value() -> None:
    assert sparkline([0.0, 7.0, 3.5]) == "▁█▅"
    assert sparkline([None, 1.0, None, 2.0]) == " ▁ █"
    assert sparkline([5.0, 5.0]) == "▅▅"
    assert sparkline([]) == sparkline([None, float("nan")]) == ""
    assert sparkline([-1.7e308, 1.7e308]) == "▁█"


@given(st.lists(st.one_of(st.none(), st.floats())))
def test_any_values_make_a_sparkline_of_as_many_letters(values: list[float | None]) -> None:
    assert len(sparkline(values)) in (0, len(values))


@pytest.mark.parametrize("width", [30, 80, 200])
def test_a_value_its_unit_and_why_there_is_none_stand_whole_at_any_width(width: int) -> None:
    columns = (
        NewestValue("flux", "W/m²", -12345.6, -12345.7, -12345.5),
        NewestValue("tc1", "degC", None, None, None, "sensor_open"),
    )
    values, lines = NewestValues(1000, 0, columns), ChannelLines()
    lines.see(values)
    assert lines.table(None) is None
    console = Console(file=io.StringIO(), width=width)
    console.print(lines.table(values))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("flux", "-12345.6", "-12345.7", "-12345.5", "W/m²", "tc1", "sensor_open", "degC"):
        assert word in told
