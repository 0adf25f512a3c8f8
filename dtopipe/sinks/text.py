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

from dtopipe.model.stream import Block, Channel, SensorStatus, Stream
from dtopipe.sinks.values import engineering_values

Texts: TypeAlias = NDArray[np.bytes_]

_N_CODES = 65_536
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
    n_digits = len(str(int(values[0])))
    digits[:, : 4 * n_chunks - len(str(int(values[-1])))] = 0
    for place in range(4 * n_chunks - len(str(int(values[-1]))), 4 * n_chunks - n_digits):
        digits[: int(np.searchsorted(values, 10 ** (4 * n_chunks - 1 - place))), place] = 0
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


class ValueTexts:
    """A stream's codes as texts: engineering values in the shortest form that reads back the same.

    Every text begins with `prefix`. `null` stands where the sensor status is not OK or the value is NaN; also for
    infinities if `finite_only`.
    """

    def __init__(self, stream: Stream, *, prefix: bytes, null: bytes, finite_only: bool) -> None:
        self._channels = stream.channels
        self._prefix = prefix
        self._null = null
        self._finite_only = finite_only
        self._as_integers = stream.dtype != "float64"
        self._tables: Texts | None = None
        if stream.dtype == "int16":
            kinds = [None if channel.is_raw else (channel.scale, channel.offset) for channel in stream.channels]
            different = list(dict.fromkeys(kinds))
            tables = [_table(kind, prefix, null, finite_only) for kind in different]
            self._tables = np.concatenate(tables) if len(tables) > 1 else tables[0]
            self._first_entries = np.array([different.index(kind) * _N_CODES for kind in kinds], np.int32)

    def __call__(self, samples: Block) -> Texts:
        """(n_samples, n_channels) texts, C order."""
        if self._tables is not None:
            entries = np.add(samples.codes.view(np.uint16).T, self._first_entries, order="C")
            texts: Texts = self._tables[entries]
        else:
            columns = [
                self._direct(channel, codes) for channel, codes in zip(self._channels, samples.codes, strict=True)
            ]
            texts = np.stack(columns, axis=1)
        if samples.sensor_status is not None:
            null = self._prefix + self._null
            texts = texts.astype(f"S{max(texts.itemsize, len(null), 1)}")
            texts[samples.sensor_status.T != SensorStatus.OK] = null
        return texts

    def _direct(self, channel: Channel, codes: NDArray[Any]) -> Texts:
        if self._as_integers and channel.is_raw:
            return _texts([self._prefix + b"%d" % code for code in codes.tolist()])
        values = engineering_values(channel, codes, None)
        return float_texts(values, prefix=self._prefix, null=self._null, finite_only=self._finite_only)


def float_texts(values: NDArray[np.float64], *, prefix: bytes, null: bytes, finite_only: bool) -> Texts:
    """(n,) texts of (n,) float64, as `repr` writes them; `null` for NaN, and for infinities if `finite_only`."""
    texts = _texts([prefix + repr(value).encode() for value in values.tolist()])
    odd = ~np.isfinite(values) if finite_only else np.isnan(values)
    if odd.any():
        texts = texts.astype(f"S{max(texts.itemsize, len(prefix + null), 1)}")
        texts[odd] = prefix + null
    return texts


def _texts(found: list[bytes]) -> Texts:
    return np.array(found, dtype=None if found else "S1")


@lru_cache(maxsize=64)
def _table(kind: tuple[float, float] | None, prefix: bytes, null: bytes, finite_only: bool) -> Texts:
    """The texts of all int16 codes, by the code's bits; `kind` is (scale, offset), or None for the codes themselves."""
    codes = np.arange(_N_CODES, dtype=np.uint16).view(np.int16)
    if kind is None:
        return _texts([prefix + b"%d" % code for code in codes.tolist()])
    values = codes.astype(np.float64) * kind[0] + kind[1]
    return float_texts(values, prefix=prefix, null=null, finite_only=finite_only)


@lru_cache(maxsize=256)
def _record(literals: tuple[bytes, ...], widths: tuple[int, ...]) -> NDArray[np.void]:
    """One row with the literals in place and room for the columns, named by their numbers."""
    fields: list[tuple[str, str]] = []
    for number, literal in enumerate(literals):
        if literal:
            fields.append((f"literal {number}", f"S{len(literal)}"))
        if number < len(widths):
            fields.append((str(number), f"S{widths[number]}"))
    record = np.zeros(1, np.dtype(fields))
    for number, literal in enumerate(literals):
        if literal:
            record[f"literal {number}"] = literal
    return record


def rows(literals: Sequence[bytes], columns: Sequence[Texts]) -> bytes:
    """All rows as one piece: `literals[0] column[0] literals[1] ... column[-1] literals[-1]`, each row alike.

    `len(literals) == len(columns) + 1`. No text or literal may hold a NUL.
    """
    record = _record(tuple(literals), tuple(max(1, column.itemsize) for column in columns))
    records = np.repeat(record, len(columns[0]))
    for number, column in enumerate(columns):
        records[str(number)] = column
    return records.tobytes().translate(None, b"\0")
