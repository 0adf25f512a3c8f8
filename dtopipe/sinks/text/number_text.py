"""Many numbers as text at once, floats exactly as `repr` writes them, by arithmetic on whole arrays.

`repr` gives the fewest digits that read back to the same number; 17 always do. The fraction of a number, times the
power of ten that leaves 17 significant digits before the point, is held exactly as the sum of two float64 (Dekker's
product: powers of ten up to 10**22 are exact). That is rounded to 17, 16 and 15 digits, and the shortest within half
a unit of the last binary place is taken; fewer digits than 15 are those with zeros at the end cut off. Whatever could
be decided either way (a tie, a power of two, whose neighbours are unequally far) is left to `repr` itself, as are
numbers that it writes with an exponent.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Texts: TypeAlias = NDArray[np.bytes_]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

# `repr` writes numbers from here to there without an exponent.
_LOWEST, _END = 1e-4, 1e16
_MOST_PLACES = 20
_POWERS: Floats = np.array([10.0**places for places in range(_MOST_PLACES + 1)])
_WHOLE_POWERS = 10 ** np.arange(17, dtype=np.int64)
# By the binary exponent's bits: a decimal exponent that is right or one too small.
_FIRST_GUESS = np.floor((np.arange(2048) - 1023) * np.log10(2)).clip(-5, 16).astype(np.int64)
# 10**(guess + 1), which a number with a guess that is too small reaches; from -5.
_NEXT_POWERS = np.array([float(f"1e{exponent + 1}") for exponent in range(-5, 17)])
_SPLIT = 2.0**27 + 1
_SURE = 1e-6
_HUNDRED = np.uint64(100)
# Of numbers with four decimals; below the limit they are all written without an exponent, and are what they look like.
_DECIMALS, _MOST_DECIMAL = 10_000, 1e11

_CHUNK = np.uint64(10_000)
_FRACTION_CHUNKS = 4
_DIGITS = [b"%04d" % number for number in range(10_000)]
FOUR_DIGITS: Texts = np.array(_DIGITS, dtype="S4")


def _left(text: bytes) -> bytes:
    """The number without zeros before it, in its place: NULs stand for them."""
    return text.lstrip(b"0").rjust(4, b"\0")


# Chunks of a whole number, by chunk: with zeros before it; behind `_CHUNK` without, as it begins a number.
_WHOLE: Texts = np.array([*_DIGITS, *map(_left, _DIGITS)], dtype="S4")
_LAST_WHOLE: Texts = np.array([*_DIGITS, b"\0\0\x000", *map(_left, _DIGITS[1:])], dtype="S4")
# Chunks of a fraction: with the zeros at its end; behind `_CHUNK` without, as it ends a number; behind twice that with
# one digit at least, as it is all of a fraction.
_ENDS = [text.rstrip(b"0") for text in _DIGITS]
_FRACTION: Texts = np.array([*_DIGITS, *_ENDS, b"0", *_ENDS[1:]], dtype="S4")
# Of numbers below 1: zeros and the first digit, by 10 * their number plus that digit; "" for others.
_BEGINNINGS: Texts = np.array(
    [b"0" * (at // 10 - 1) + b"%d" % (at % 10) if at else b"" for at in range(50)], dtype="S4"
)


def whole_texts(numbers: Integers, prefix: bytes = b"") -> Texts:
    """(n,) decimal texts, with NULs among them, of (n,) whole numbers; each begins with `prefix`."""
    return _laid_out(prefix, numbers < 0, _whole_chunks(np.abs(numbers).view(np.uint64)))


def repr_texts(values: Floats, prefix: bytes = b"") -> Texts:
    """(n,) texts as `repr` writes them, with NULs among them, of (n,) float64; each begins with `prefix`."""
    magnitudes = np.abs(values)
    usual = (magnitudes >= _LOWEST) & (magnitudes < _END)
    usual |= magnitudes == 0
    if not usual.all():
        magnitudes = np.where(usual, magnitudes, 0.0)
    whole = magnitudes.astype(np.int64)
    exponents = _decimal_exponents(magnitudes)
    fraction, odd = _shortest_fractions(magnitudes, magnitudes - whole, exponents)
    texts = _laid_out(
        prefix,
        np.signbit(values),
        [*_whole_chunks(whole.view(np.uint64)), b".", *_fraction_chunks(fraction, exponents)],
    )
    odd |= ~usual
    if odd.any():
        found = np.array([prefix + repr(value).encode() for value in values[odd].tolist()])
        if found.itemsize > texts.itemsize:
            texts = texts.astype(found.dtype)
        texts[odd] = found
    return texts


def decimal_texts(values: Floats, prefix: bytes = b"") -> Texts | None:
    """The same as `repr_texts`, in a third of the time, of numbers that all have four decimals at most; else None.

    NaN counts as 0.
    """
    values = np.nan_to_num(values, nan=0.0)
    if not np.abs(values).max(initial=0) < _MOST_DECIMAL:
        return None
    numbers = np.rint(values * _DECIMALS)
    if not np.array_equal(numbers / _DECIMALS, values):
        return None
    magnitudes = np.abs(numbers).astype(np.uint64)
    whole = magnitudes // _CHUNK
    fraction = (magnitudes - whole * _CHUNK).astype(np.int64)
    fraction += 2 * _DECIMALS
    return _laid_out(prefix, np.signbit(values), [*_whole_chunks(whole), b".", _FRACTION[fraction]])


def _decimal_exponents(magnitudes: Floats) -> Integers:
    """floor(log10) of (n,) numbers from `_LOWEST` to `_END`; 0 for 0."""
    guesses: Integers = _FIRST_GUESS[magnitudes.view(np.int64) >> 52]
    guesses += magnitudes >= _NEXT_POWERS[guesses + 5]
    guesses[magnitudes == 0] = 0
    return guesses


def _shortest_fractions(
    magnitudes: Floats, fractions: Floats, exponents: Integers
) -> tuple[Integers, NDArray[np.bool_]]:
    """(n,) fractions times 10**(16 - exponent), of the fewest digits; and for which of them this is not sure."""
    power: Floats = _POWERS[16 - exponents]
    bits = magnitudes.view(np.int64)
    # Half a unit in the last binary place, times the power.
    reach = (np.maximum(bits & 0x7FF0_0000_0000_0000, 54 << 52) - (53 << 52)).view(np.float64) * power
    high, low = _product(fractions, power)
    digits = high.astype(np.int64)
    rest = high - digits
    rest += low
    nearest = np.rint(rest)
    rest -= nearest
    digits += nearest.astype(np.int64)
    # Where the number stands among the multiples of 100 and of 10.
    hundreds = (digits.view(np.uint64) // _HUNDRED).view(np.int64)
    in_hundred = (digits - hundreds * 100).astype(np.float64)
    in_ten = in_hundred - np.floor(in_hundred * 0.1) * 10
    at_hundred = in_hundred + rest
    at_ten = in_ten + rest
    from_hundred = 50 - np.abs(at_hundred - 50)
    from_ten = 5 - np.abs(at_ten - 5)
    by_hundred, by_ten = from_hundred < reach, from_ten < reach
    to_hundred = (in_hundred >= 50) * 100.0 - in_hundred
    to_ten = (at_ten > 5) * 10.0 - in_ten
    digits += np.where(by_hundred, to_hundred, by_ten * to_ten).astype(np.int64)
    odd = np.abs(from_hundred - reach) < _SURE
    odd |= np.abs(from_ten - reach) < _SURE
    odd |= np.abs(rest) > 0.5 - _SURE
    odd |= np.abs(at_ten - 5) < _SURE
    odd |= (bits & 0x000F_FFFF_FFFF_FFFF) == 0
    odd &= np.abs(from_hundred) > _SURE
    return digits, odd


def _product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """`a * b` exactly, as a sum of two (Dekker)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    error = a_high * b_high
    error -= product
    error += a_high * b_low
    error += a_low * b_high
    error += a_low * b_low
    return product, error


def _halves(a: Floats) -> tuple[Floats, Floats]:
    wide = a * _SPLIT
    high = wide - (wide - a)
    return high, a - high


def _whole_chunks(numbers: NDArray[np.uint64]) -> list[Texts]:
    chunks: list[Texts] = []
    most = int(numbers.max(initial=0))
    rest = numbers
    while True:
        higher = rest // _CHUNK
        chunk = rest - higher * _CHUNK
        chunk += _CHUNK * (higher == 0)
        chunks.append((_WHOLE if chunks else _LAST_WHOLE)[chunk.view(np.int64)])
        most //= 10_000
        if not most:
            return chunks[::-1]
        rest = higher


def _fraction_chunks(digits: Integers, exponents: Integers) -> list[Texts]:
    chunks: list[Texts] = []
    small = exponents < 0
    first = digits // _WHOLE_POWERS[16]
    if small.any():
        digits = digits - first * _WHOLE_POWERS[16]
        chunks.append(_BEGINNINGS[np.where(small, -10 * exponents + first, 0)])
    rest = (digits * _WHOLE_POWERS[np.maximum(exponents, 0)]).view(np.uint64)
    behind: list[Texts] = []
    of_table = np.full(len(rest), _CHUNK, np.uint64)
    for number in range(_FRACTION_CHUNKS):
        higher = rest // _CHUNK
        chunk = rest - higher * _CHUNK
        if number == _FRACTION_CHUNKS - 1:
            of_table <<= ~small
        behind.append(_FRACTION[(chunk + of_table).view(np.int64)])
        of_table *= chunk == 0
        rest = higher
    return chunks + behind[::-1]


def _laid_out(prefix: bytes, negative: NDArray[np.bool_], parts: list[Any]) -> Texts:
    fields = [("prefix", f"S{len(prefix)}")] if prefix else []
    fields += [("sign", "u1")]
    fields += [(str(n), "S1" if isinstance(part, bytes) else part.dtype.str) for n, part in enumerate(parts)]
    texts = np.empty(len(negative), np.dtype(fields))
    if prefix:
        texts["prefix"] = prefix
    texts["sign"] = negative * np.uint8(ord("-"))
    for n, part in enumerate(parts):
        texts[str(n)] = part
    return texts.view(f"S{texts.itemsize}")
