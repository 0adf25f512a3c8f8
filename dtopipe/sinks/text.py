"""Columns of numbers as columns of text, without a Python loop over samples.

A column is an (n,) array of fixed-width bytes padded with NUL. Rows are laid out as records of such columns and of
literal bytes; then the NULs are deleted from the whole in one pass. A 16-bit channel has at most 65 536 different
values: their texts are made once and gathered by code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.stream import Channel, SensorStatus
from dtopipe.sinks.values import engineering_values

Texts: TypeAlias = NDArray[np.bytes_]

# Before a channel has had this many samples, making the table would take longer than it saves.
_TABLE_PAYS_AFTER = 30_000
_NS_PER_S = 1_000_000_000
_CHUNK = 10_000
_FOUR_DIGITS: Texts = np.array([b"%04d" % n for n in range(_CHUNK)], dtype="S4")


def rising_integers(values: NDArray[np.int64]) -> Texts:
    """Decimal texts of (n,) rising integers."""
    if len(values) == 0:
        return np.empty(0, "S1")
    if values[0] < 0:
        return np.array([b"%d" % value for value in values.tolist()])
    n_chunks = -(-len(str(int(values[-1]))) // 4)
    texts = np.empty((len(values), n_chunks), "S4")
    rest = values
    for chunk in reversed(range(1, n_chunks)):
        higher = rest // _CHUNK
        texts[:, chunk] = _FOUR_DIGITS[rest - higher * _CHUNK]
        rest = higher
    texts[:, 0] = _FOUR_DIGITS[rest]
    digits = texts.view(np.uint8)
    for place in range(4 * n_chunks - 1):
        shorter = int(np.searchsorted(values, 10 ** (4 * n_chunks - 1 - place)))
        if not shorter:
            break
        digits[:shorter, place] = 0
    whole: Texts = texts.view(f"S{4 * n_chunks}").ravel()
    return whole


def iso_times(t_utc_ns: NDArray[np.int64]) -> Texts:
    """ISO 8601 with nine digits and `Z` of (n,) rising times in ns since 1970."""
    if len(t_utc_ns) == 0:
        return np.empty(0, "S30")
    seconds = t_utc_ns // _NS_PER_S
    ns = t_utc_ns - seconds * _NS_PER_S
    first = int(seconds[0])
    all_seconds = np.arange(first, int(seconds[-1]) + 1)
    texts = np.empty(len(t_utc_ns), np.dtype([("s", "S20"), ("high", "u1"), ("mid", "S4"), ("low", "S4"), ("z", "S1")]))
    if len(all_seconds) <= len(t_utc_ns):
        known = np.char.add(np.datetime_as_string(all_seconds.astype("datetime64[s]")), ".").astype("S20")
        texts["s"] = known[seconds - first]
    else:
        texts["s"] = np.char.add(np.datetime_as_string(seconds.astype("datetime64[s]")), ".").astype("S20")
    high = ns // _CHUNK
    texts["low"] = _FOUR_DIGITS[ns - high * _CHUNK]
    highest = high // _CHUNK
    texts["mid"] = _FOUR_DIGITS[high - highest * _CHUNK]
    texts["high"] = highest + ord("0")
    texts["z"] = b"Z"
    whole: Texts = texts.view("S30")
    return whole


class ChannelTexts:
    """One channel's codes as texts: engineering values in the shortest form that reads back the same.

    `null` stands where the sensor status is not OK or the value is NaN; also for infinities if `finite_only`.
    """

    def __init__(self, channel: Channel, dtype: str, *, null: bytes, finite_only: bool) -> None:
        self._channel = channel
        self._null = null
        self._finite_only = finite_only
        self._has_table = dtype == "int16"
        self._as_integers = channel.is_raw and dtype != "float64"
        self._seen = 0

    def __call__(self, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None) -> Texts:
        """(n,) texts of (n,) codes."""
        self._seen += len(codes)
        if self._has_table and self._seen >= _TABLE_PAYS_AFTER:
            scale, offset = (None, None) if self._channel.is_raw else (self._channel.scale, self._channel.offset)
            table = _table(scale, offset, self._finite_only, self._null)
            texts: Texts = table[codes.view(np.uint16) if codes.flags.c_contiguous else codes.astype(np.uint16)]
        else:
            texts = self._direct(codes)
        if sensor_status is not None:
            texts = texts.astype(f"S{max(texts.itemsize, len(self._null), 1)}")
            texts[sensor_status != SensorStatus.OK] = self._null
        return texts

    def _direct(self, codes: NDArray[Any]) -> Texts:
        if self._as_integers:
            return _texts([b"%d" % code for code in codes.tolist()])
        values = engineering_values(self._channel, codes, None)
        return float_texts(values, null=self._null, finite_only=self._finite_only)


def float_texts(values: NDArray[np.float64], *, null: bytes, finite_only: bool) -> Texts:
    """(n,) texts of (n,) float64, as `repr` writes them; `null` for NaN, and for infinities if `finite_only`."""
    texts = _texts([repr(value).encode() for value in values.tolist()])
    odd = ~np.isfinite(values) if finite_only else np.isnan(values)
    if odd.any():
        texts = texts.astype(f"S{max(texts.itemsize, len(null), 1)}")
        texts[odd] = null
    return texts


def _texts(found: list[bytes]) -> Texts:
    return np.array(found, dtype=None if found else "S1")


@lru_cache(maxsize=256)
def _table(scale: float | None, offset: float | None, finite_only: bool, null: bytes) -> Texts:
    """The texts of all int16 codes, by the code's bits as uint16; `scale` None for the codes themselves."""
    codes = np.arange(65_536, dtype=np.uint16).view(np.int16)
    if scale is None or offset is None:
        return _texts([b"%d" % code for code in codes.tolist()])
    values = codes.astype(np.float64) * scale + offset
    return float_texts(values, null=null, finite_only=finite_only)


def rows(literals: Sequence[bytes], columns: Sequence[Texts]) -> bytes:
    """All rows as one piece: `literals[0] column[0] literals[1] ... column[-1] literals[-1]`, each row alike.

    `len(literals) == len(columns) + 1`. No text or literal may hold a NUL.
    """
    n = len(columns[0])
    fields: list[tuple[str, str]] = []
    for number, literal in enumerate(literals):
        fields.append((f"l{number}", f"S{max(1, len(literal))}"))
        if number < len(columns):
            fields.append((f"c{number}", f"S{max(1, columns[number].itemsize)}"))
    records = np.empty(n, np.dtype(fields))
    for number, literal in enumerate(literals):
        records[f"l{number}"] = literal
    for number, column in enumerate(columns):
        records[f"c{number}"] = column
    return records.tobytes().translate(None, b"\0")
