"""What a subscriber may do to the acquirer."""

from __future__ import annotations

from enum import StrEnum


class Policy(StrEnum):
    """`block` misses nothing; the two drops never delay anybody."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


class Layout(StrEnum):
    """`wide`: one row a sample, one column a channel. `long`: one row a channel and sample."""

    WIDE = "wide"
    LONG = "long"


class OnExists(StrEnum):
    """What becomes of an output that is there already; nothing is ever destroyed but by `overwrite`."""

    ERROR = "error"
    RENAME = "rename"
    OVERWRITE = "overwrite"
    APPEND = "append"
