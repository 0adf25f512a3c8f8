"""Columns of numbers as columns of text, without a Python loop over samples.

A column is an (n,) array of fixed-width bytes with NULs among them that do not count. Rows are laid out as records of
such columns and of literal bytes; then the NULs are deleted from the whole in one pass. A 16-bit channel has at most
65 536 different values: their texts are made once and gathered by code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.calibration import Calibration
from dtopipe.model.engineering import EngineeringValues, engineering_values, pending_calibration
from dtopipe.model.stream import Block, Channel, Origin, SensorStatus, Stream
from dtopipe.sinks.text.number_text import FOUR_DIGITS, Texts, decimal_texts, repr_texts, whole_texts

_N_CODES = 65_536
_NS_PER_S = 1_000_000_000
_CHUNK = 10_000
_NINE_DIGITS = [("high", "u1"), ("mid", "S4"), ("low", "S4")]
# Such as -2.2250738585072014e-308.
_MOST_VALUE_BYTES = 24


def rising_integers(values: NDArray[np.int64]) -> Texts:
    """Decimal texts of (n,) rising integers."""
    if len(values) == 0:
        return np.empty(0, "S1")
    if values[0] < 0:
        return whole_texts(values)
    n_chunks = -(-len(str(int(values[-1]))) // 4)
    texts = np.empty((len(values), n_chunks), "S4")
    rest = values
    for chunk in reversed(range(1, n_chunks)):
        higher = rest // _CHUNK
        texts[:, chunk] = FOUR_DIGITS[rest - higher * _CHUNK]
        rest = higher
    texts[:, 0] = FOUR_DIGITS[rest]
    digits = texts.view(np.uint8)
    n_digits = len(str(int(values[0])))
    digits[:, : 4 * n_chunks - len(str(int(values[-1])))] = 0
    for place in range(4 * n_chunks - len(str(int(values[-1]))), 4 * n_chunks - n_digits):
        digits[: int(np.searchsorted(values, 10 ** (4 * n_chunks - 1 - place))), place] = 0
    whole: Texts = texts.view(f"S{4 * n_chunks}").ravel()
    return whole


def iso_times(t_utc_ns: NDArray[np.int64], between: bytes = b"T", ending: bytes = b"Z") -> Texts:
    """ISO 8601 with nine digits of (n,) rising times in ns since 1970: `between` date and time, `ending` at the end."""
    seconds = t_utc_ns // _NS_PER_S
    fields = [("s", "S20"), *_NINE_DIGITS, *([("ending", f"S{len(ending)}")] if ending else [])]
    texts = np.empty(len(t_utc_ns), np.dtype(fields))
    if len(texts):
        first = int(seconds[0])
        all_seconds = np.arange(first, int(seconds[-1]) + 1)
        # Rare samples may have many seconds between them.
        is_dense = len(all_seconds) <= len(t_utc_ns)
        known = np.datetime_as_string((all_seconds if is_dense else seconds).astype("datetime64[s]"))
        known = np.char.add(known, ".").astype("S20")
        known.view("S1").reshape(len(known), -1)[:, len("2026-11-22")] = between
        texts["s"] = known[seconds - first] if is_dense else known
        _put_digits(texts, t_utc_ns - seconds * _NS_PER_S)
        if ending:
            texts["ending"] = ending
    whole: Texts = texts.view(f"S{texts.itemsize}")
    return whole


def nine_digits(ns: NDArray[np.int64]) -> Texts:
    """(n,) texts of nine digits of numbers below a thousand million."""
    texts = np.empty(len(ns), np.dtype(_NINE_DIGITS))
    _put_digits(texts, ns)
    whole: Texts = texts.view("S9")
    return whole


def _put_digits(texts: NDArray[np.void], ns: NDArray[np.int64]) -> None:
    high = ns // _CHUNK
    texts["low"] = FOUR_DIGITS[ns - high * _CHUNK]
    highest = high // _CHUNK
    texts["mid"] = FOUR_DIGITS[high - highest * _CHUNK]
    texts["high"] = highest + ord("0")


class ValueTexts:
    """A stream's codes as texts: engineering values in the shortest form that reads back the same.

    Every text begins with `prefix`. `null` stands where the sensor status is not OK or the value is NaN; also for
    infinities if `finite_only`.
    """

    def __init__(self, stream: Stream, *, prefix: bytes, null: bytes, finite_only: bool) -> None:
        self._prefix = prefix
        self._null = null
        self._finite_only = finite_only
        self._engineering = EngineeringValues(stream.channels)
        self._is_whole = np.array([channel.is_raw and stream.dtype != "float64" for channel in stream.channels])
        # Values of thermocouples, which have four decimals.
        self._is_decimal = np.array([_is_decimal(channel) for channel in stream.channels])
        self._nothing = np.zeros(len(stream.channels), bool)
        self._origins: tuple[Channel | None, ...] = ()
        self._tables: Texts | None = None
        if stream.dtype == "int16":
            self._tables, self._first_entries = self._joined_tables(stream.channels)

    @property
    def longest(self) -> int:
        """No value's text has more bytes, its prefix included."""
        most = _MOST_VALUE_BYTES if self._tables is None else self._tables.itemsize
        return len(self._prefix) + max(most, len(self._null))

    def __call__(self, samples: Block) -> Texts:
        """(n_samples, n_channels) texts, C order."""
        if self._tables is not None:
            entries = np.add(samples.codes.view(np.uint16).T, self._first_entries, order="C")
            texts: Texts = self._tables[entries]
        else:
            texts = self._made(samples)
        if samples.sensor_status is not None:
            null = self._prefix + self._null
            texts = _with_nulls(texts, samples.sensor_status.T != SensorStatus.OK, null)
        return texts

    def _made(self, samples: Block) -> Texts:
        """Of columns that are made in different ways each kind by itself."""
        codes = samples.codes
        is_known = self._known_origins(samples.made_of)
        parts = [
            (is_known, self._by_origin),
            (self._is_whole, self._wholes),
            (self._is_decimal & ~is_known, self._decimals),
            (~(is_known | self._is_whole | self._is_decimal), self._floats),
        ]
        found = [(which, make(samples, which)) for which, make in parts if which.any()]
        if len(found) == 1:
            return found[0][1]
        texts = np.empty(codes.shape[::-1], max((part.dtype for _, part in found), key=lambda dtype: dtype.itemsize))
        for which, part in found:
            texts[:, which] = part
        return texts

    def _known_origins(self, origin: Origin | None) -> NDArray[np.bool_]:
        """Which columns are made of one 16-bit code each; their texts are tables, as those of codes."""
        if origin is None:
            return self._nothing
        if origin.channels is not self._origins:
            self._origins = origin.channels
            known = [channel for channel in origin.channels if channel is not None]
            self._origin_tables, self._first_origins = self._joined_tables(known)
        return np.array([channel is not None for channel in origin.channels])

    def _by_origin(self, samples: Block, which: NDArray[np.bool_]) -> Texts:
        codes = np.empty((0, 0), np.int16) if samples.made_of is None else samples.made_of.codes[which]
        entries = np.add(codes.view(np.uint16).T, self._first_origins, order="C")
        texts: Texts = self._origin_tables[entries]
        return texts

    def _wholes(self, samples: Block, which: NDArray[np.bool_]) -> Texts:
        codes = samples.codes[which]
        return whole_texts(codes.astype(np.int64).T.ravel(), self._prefix).reshape(codes.shape[::-1])

    def _decimals(self, samples: Block, which: NDArray[np.bool_]) -> Texts:
        values = samples.codes[which]
        texts = decimal_texts(values.T.ravel(), self._prefix)
        if texts is None:
            return self._floats(samples, which)
        return _with_nulls(texts.reshape(values.shape[::-1]), np.isnan(values.T), self._prefix + self._null)

    def _floats(self, samples: Block, which: NDArray[np.bool_]) -> Texts:
        values = self._engineering(samples.codes, None)
        values = values if which.all() else values[which]
        texts = float_texts(values.T.ravel(), prefix=self._prefix, null=self._null, finite_only=self._finite_only)
        return texts.reshape(values.shape[::-1])

    def _joined_tables(self, channels: Sequence[Channel]) -> tuple[Texts, NDArray[np.int32]]:
        """One table for all of these channels, and where in it that of each one begins."""
        kinds = [_Kind.of(channel) for channel in channels]
        different = list(dict.fromkeys(kinds))
        tables = [_table(kind, self._prefix, self._null, self._finite_only) for kind in different]
        whole = np.concatenate(tables) if len(tables) > 1 else tables[0]
        return whole, np.array([different.index(kind) * _N_CODES for kind in kinds], np.int32)


def float_texts(values: NDArray[np.float64], *, prefix: bytes, null: bytes, finite_only: bool) -> Texts:
    """(n,) texts of (n,) float64, as `repr` writes them; `null` for NaN, and for infinities if `finite_only`."""
    texts = repr_texts(values, prefix)
    odd = ~np.isfinite(values) if finite_only else np.isnan(values)
    return _with_nulls(texts, odd, prefix + null) if odd.any() else texts


def _with_nulls(texts: Texts, which: NDArray[np.bool_], null: bytes) -> Texts:
    texts = texts.astype(f"S{max(texts.itemsize, len(null), 1)}")
    texts[which] = null
    return texts


def _is_decimal(channel: Channel) -> bool:
    calibration = channel.calibration
    return calibration is not None and calibration.is_applied and calibration.kind == "thermocouple"


@dataclass(frozen=True, slots=True)
class _Kind:
    """All that a value is made of besides its code: channels that are alike in it share one table."""

    scaling: tuple[float, float]
    calibration: Calibration | None
    is_raw: bool

    @classmethod
    def of(cls, channel: Channel) -> _Kind:
        return cls(channel.input_scaling, pending_calibration(channel), channel.is_raw)


@lru_cache(maxsize=64)
def _table(kind: _Kind, prefix: bytes, null: bytes, finite_only: bool) -> Texts:
    """The texts of all int16 codes, by the code's bits."""
    codes = np.arange(_N_CODES, dtype=np.uint16).view(np.int16)
    if kind.is_raw:
        texts = whole_texts(codes.astype(np.int64), prefix)
    else:
        scale, offset = kind.scaling
        channel = Channel("", scale=scale, offset=offset, calibration=kind.calibration)
        values = engineering_values(channel, codes, None)
        texts = float_texts(values, prefix=prefix, null=null, finite_only=finite_only)
    # Without the NULs in between: every sample would carry them along.
    return np.array(rows([b"", b"\n"], [texts]).split(b"\n")[:-1])


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


def rows(literals: Sequence[bytes], columns: Sequence[Texts], signs: bytes | None = None) -> bytes:
    """All rows as one piece: `literals[0] column[0] literals[1] ... column[-1] literals[-1]`, each row alike.

    `len(literals) == len(columns) + 1`. No text or literal may hold a NUL. `signs`: what each byte becomes, as of
    `bytes.maketrans`, which costs nothing besides.
    """
    record = _record(tuple(literals), tuple(max(1, column.itemsize) for column in columns))
    records = np.repeat(record, len(columns[0]))
    for number, column in enumerate(columns):
        records[str(number)] = column
    return records.tobytes().translate(signs, b"\0")
