"""Times and readings as a spreadsheet has them, and back: seconds from sample 0, and UTC that it takes for a date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import SampleClock, iso_utc
from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings
from dtopipe.sinks.text.excel import TITLES, ExcelForm, guarded, unguarded
from dtopipe.sinks.text.number_text import Texts
from dtopipe.sinks.text.rows import iso_times, nine_digits, rising_integers

_NS_PER_S = 1_000_000_000
_DECIMALS = 9


def decimals_of(clock: SampleClock, first_ns: int) -> int:
    """How many decimals the seconds of samples have, one of which is `first_ns` after sample 0: one at least.

    The same for all samples of an epoch, however many are written at a time.
    """
    period_ns = clock.whole_period_ns
    if period_ns is None:
        return _DECIMALS
    unit_ns = int(np.gcd(np.gcd(period_ns, abs(first_ns)), _NS_PER_S))
    n_zeros = len(str(unit_ns)) - len(str(unit_ns).rstrip("0"))
    return max(1, _DECIMALS - n_zeros)


def seconds_texts(since_ns: NDArray[np.int64], n_decimals: int) -> tuple[Texts, Texts]:
    """The whole seconds and the decimals of (n,) rising times."""
    if len(since_ns) and since_ns[0] < 0:
        texts = [seconds_text(int(ns), n_decimals).partition(".") for ns in since_ns.tolist()]
        return np.array([t[0].encode() for t in texts]), np.array([t[2].encode() for t in texts])
    seconds = since_ns // _NS_PER_S
    digits = nine_digits(since_ns - seconds * _NS_PER_S)
    return rising_integers(seconds), digits.view("S1").reshape(len(digits), -1)[:, :n_decimals].copy().view(
        f"S{n_decimals}"
    )[:, 0]


def seconds_text(since_ns: int, n_decimals: int = 1) -> str:
    """Seconds with as many decimals as they need, `n_decimals` at least."""
    seconds, ns = divmod(abs(since_ns), _NS_PER_S)
    decimals = f"{ns:09d}"
    return f"{'-' if since_ns < 0 else ''}{seconds}.{decimals.rstrip('0').ljust(n_decimals, '0')}"


def seconds_ns(text: bytes) -> int:
    """The nanoseconds of seconds with a point, exactly. Raises ValueError."""
    whole, _, decimals = text.partition(b".")
    if not decimals.isdigit() or decimals[_DECIMALS:].strip(b"0"):
        raise ValueError(f"{text!r} are no seconds")
    ns = abs(int(whole)) * _NS_PER_S + int(decimals[:_DECIMALS].ljust(_DECIMALS, b"0"))
    return -ns if whole.lstrip().startswith(b"-") else ns


def date_times(t_utc_ns: NDArray[np.int64]) -> Texts:
    """`2026-11-22 23:41:00.000000000` of (n,) rising times in ns since 1970."""
    return iso_times(t_utc_ns, between=b" ", ending=b"")


def date_times_ns(texts: Sequence[bytes]) -> NDArray[np.int64]:
    """(n,) int64 ns since 1970 of such texts."""
    return np.array([text.decode() for text in texts], dtype="datetime64[ns]").astype(np.int64)


def reading_rows(columns: Sequence[ReadingColumn], readings: Readings, form: ExcelForm, zero_ns: int) -> bytes:
    """Readings as lines; `zero_ns`: the `t_mono_ns` that seconds count from."""
    texts = [
        [_cell(column, value, form.decimal, zero_ns) for value in values]
        for column, values in zip(columns, readings.columns, strict=True)
    ]
    return "".join([f"{form.line(row)}\n" for row in zip(*texts, strict=True)]).encode()


def plain_cells(columns: Sequence[ReadingColumn], row: Sequence[str], zero_ns: int) -> list[str]:
    """The cells of such a line as the other dialect has them. Raises ValueError."""
    return [_plain(column, cell, zero_ns) for column, cell in zip(columns, row, strict=True)]


def _cell(column: ReadingColumn, value: Any, decimal: str, zero_ns: int) -> str:
    if value is None:
        return ""
    if column.kind is ColumnKind.TEXT:
        return guarded(str(value))
    if column.kind is ColumnKind.INTEGER and column.name not in TITLES:
        return str(value)
    if column.kind is ColumnKind.FLOAT:
        text = repr(float(value)) if np.isfinite(value) else ""
    elif column.kind is ColumnKind.TIME:
        text = iso_utc(value)[:-1].replace("T", " ")
    else:
        text = seconds_text(value - zero_ns)
    return text.replace(".", decimal)


def _plain(column: ReadingColumn, cell: str, zero_ns: int) -> str:
    if not cell:
        return ""
    if column.kind is ColumnKind.TEXT:
        return unguarded(cell)
    text = cell.replace(",", ".")
    if column.kind is ColumnKind.TIME:
        return f"{text.replace(' ', 'T')}Z"
    if column.kind is ColumnKind.INTEGER and column.name in TITLES:
        return str(seconds_ns(text.encode()) + zero_ns)
    return text
