"""The decimal sign of a language and country, by babel's tables."""

from __future__ import annotations

from dtopipe.model.errors import SinkDependencyError, SinkOptionError
from dtopipe.model.suggestions import nearest


def decimal_sign_of(locale: str) -> str:
    """The decimal sign of `de_DE`, `en-US` and the like. Raises SinkOptionError, SinkDependencyError without babel."""
    try:
        from babel import Locale, UnknownLocaleError
        from babel.localedata import locale_identifiers
        from babel.numbers import get_decimal_symbol
    except ImportError as error:
        raise SinkDependencyError(
            None,
            f"locale: {locale!r} is looked up by babel, which is not installed",
            'pip install "dtopipe[excel]", or say decimal: "," and delimiter: ";"',
        ) from error
    try:
        known = Locale.parse(locale.replace("-", "_"))
    except (ValueError, TypeError, UnknownLocaleError) as error:
        there = [name for name in locale_identifiers() if name.count("_") == 1]
        raise SinkOptionError(
            None, f"locale: there is no {locale!r}", _remedy(locale.replace("-", "_"), there)
        ) from error
    return get_decimal_symbol(known)


def _remedy(locale: str, known: list[str]) -> str:
    near = nearest(locale, known)
    # There are hundreds.
    return near if near.startswith("did you mean") else "it is written like de_DE: a language and a country"
