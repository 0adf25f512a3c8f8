"""The decimal sign of a language and country, by babel's tables."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from dtopipe.model.errors import SinkDependencyError, SinkOptionError


def decimal_sign_of(locale: str) -> str:
    """The decimal sign of `de_DE`, `en-US` and the like. Raises SinkOptionError, SinkDependencyError without babel."""
    try:
        from babel import Locale, UnknownLocaleError
        from babel.core import get_global
        from babel.localedata import locale_identifiers
        from babel.numbers import get_decimal_symbol
    except ImportError as error:
        raise SinkDependencyError(
            None,
            f"the locale {locale!r} is looked up by babel, which is not installed",
            'pip install "dtopipe[excel]", or say decimal: comma',
        ) from error
    name = locale.replace("-", "_")
    try:
        known = Locale.parse(name)
    except (ValueError, TypeError, UnknownLocaleError) as error:
        language = name.partition("_")[0].lower()
        usual = str(get_global("likely_subtags").get(language, "")).split("_")
        near = f"{usual[0]}_{usual[-1]}" if len(usual) > 1 else _nearest(name, locale_identifiers())
        remedy = f"did you mean {near}?" if near else "it is written like de_DE: a language and a country"
        raise SinkOptionError(None, f"there is no locale {locale!r}", remedy) from error
    return get_decimal_symbol(known)


def _nearest(name: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, [each for each in known if each.count("_") == 1], 1)), "")
