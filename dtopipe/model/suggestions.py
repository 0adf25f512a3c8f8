"""The nearest known word to one that is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# To look for words like it takes time by its length.
_LONGEST_WORD = 200


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean x?`, else what there is."""
    words = list(dict.fromkeys(str(name) for name in known))
    if len(word) > _LONGEST_WORD:
        return f"there are: {', '.join(words)}"
    near = difflib.get_close_matches(str(word), words, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(words)}"
