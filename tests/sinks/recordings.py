"""The recordings of `dtopipe.testing`, by a short name."""

from dtopipe.testing.recordings import (
    ANCHOR,
    AWKWARD_NAMES,
    block,
    blocks,
    codes_of,
    gap,
    polled,
    reading_value,
    readings,
    recorded,
)

__all__ = [
    "ANCHOR",
    "AWKWARD_NAMES",
    "block",
    "blocks",
    "codes_of",
    "gap",
    "polled",
    "reading_value",
    "readings",
    "recorded",
]
