"""LibreOffice opens CSV of the dialect excel in its language: numbers as numbers, dates as dates, no formulas."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import ANCHOR, codes_of, polled, readings, recorded
from spreadsheet import LANGUAGES, opened

from dtopipe.model.stream import Block, SensorStatus, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.text.dialects import csv_writer

_N_ROWS = 300
_FORMULAS = ("=1+1", '=HYPERLINK("http://x";"y")', "@SUM(1;2)", "-2+3", "+7", "a;b,c")
_NAMES = (*_FORMULAS, *(f"c{number}" for number in range(34)))


def sheet(path: Path, stream: Stream, items: list[Any], **options: Any) -> Path:
    writer = csv_writer(OutputOptions(path), **options)
    writer.open(stream, 0, resume=False)
    writer.append(items)
    writer.close()
    return path


def samples() -> tuple[Stream, np.ndarray, Block]:
    """Values from 1e-7 on, with nulls, in rows of a kilobyte."""
    stream = replace(recorded(_NAMES), rate_hz=3000.0)
    channels = tuple(replace(channel, unit="µV", scale=1e-7, offset=0.0) for channel in stream.channels)
    codes = codes_of(len(_NAMES), 32_700, 32_700 + _N_ROWS)
    status = np.zeros(codes.shape, np.int8)
    status[2, 10:20] = SensorStatus.OPEN
    values = np.where(status == 0, codes * 1e-7, np.nan)
    return replace(stream, channels=channels), values, Block(0, 0, codes, ANCHOR, status)


@pytest.mark.parametrize("finds_dates", [True, False])
@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_spreadsheet_has_numbers_dates_and_texts(locale: str, finds_dates: bool, tmp_path: Path) -> None:
    stream, values, block = samples()
    asked = replace(polled(("T", "=U")), device="=cmd|' /C calc'!A0", task="+task")
    files = [
        sheet(tmp_path / "wide.csv", stream, [block], dialect="excel", locale=locale),
        sheet(tmp_path / "asked.csv", asked, [readings(asked, 0, 40)], dialect="excel", locale=locale),
    ]
    found = opened(files, tmp_path, locale, finds_dates=finds_dates)
    assert not any(cell.is_formula for rows in found.values() for row in rows for cell in row)
    titles, *rows = found["wide.csv"]
    assert [cell.kind for cell in titles[: 3 + len(_NAMES)]] == ["string"] * (3 + len(_NAMES))
    guards = ["'"] * 5 + [""] * 35
    wanted = [f"{guard}{name} [µV]" for guard, name in zip(guards, _NAMES, strict=True)]
    assert [cell.value for cell in titles[3 : 3 + len(_NAMES)]] == wanted
    start = datetime(2025, 11, 23, 12, 13, 20)
    for number, row in enumerate(rows[:_N_ROWS]):
        index, seconds, utc, *cells = row[: 3 + len(_NAMES)]
        assert (index.kind, float(index.value)) == ("float", number)
        assert seconds.kind == "float"
        assert float(seconds.value) == pytest.approx(number / 3000, abs=1e-9)
        assert utc.kind == ("date" if finds_dates else "string")
        if finds_dates:
            # LibreOffice writes hundredths of a second.
            moment = datetime.fromisoformat(utc.value.partition(".")[0])
            assert abs(moment - start - timedelta(seconds=number / 3000)) <= timedelta(seconds=1)
        for cell, value in zip(cells, values[:, number], strict=True):
            assert (cell.kind is None) == bool(np.isnan(value))
            assert cell.kind in (None, "float")
            assert cell.kind is None or float(cell.value) == pytest.approx(value, rel=1e-14)
    titles, *rows = found["asked.csv"]
    names = [cell.value for cell in titles]
    at = {name: names.index(name) for name in ("device", "task", "latency [s]", "T [V]", "'=U [V]", "error_message")}
    for number, row in enumerate(rows[:40]):
        assert (row[at["device"]].kind, row[at["device"]].value) == ("string", "'=cmd|' /C calc'!A0")
        assert row[at["task"]].value == ("" if number % 5 == 0 else "'+task")
        latency = row[at["latency [s]"]]
        assert latency.kind == "float"
        assert float(latency.value) == pytest.approx(1e-3 * number)
        assert row[at["T [V]"]].kind == (None if number % 7 == 3 else "float")
        assert row[at["error_message"]].value == ("" if number % 10 else 'it said "no",\nand "never"')


def test_the_other_dialect_would_not_do_in_a_language_with_a_decimal_comma(tmp_path: Path) -> None:
    stream = recorded(("=1+1",))
    plain = sheet(tmp_path / "plain.csv", stream, [Block(0, 0, np.array([[1]], np.int16), ANCHOR)])
    plain.write_text(plain.read_text().replace(",", ";"))
    titles, row = opened([plain], tmp_path, "de_DE", finds_dates=True)["plain.csv"][:2]
    assert titles[3].is_formula
    assert row[3].kind != "float"
