"""What a sink of raw codes can be told in a topology."""

from __future__ import annotations

from pydantic import Field

from dtopipe.model.parts import PathText, SinkPart
from dtopipe.model.quantities import Bytes, Retention


class HbufOptions(SinkPart):
    """Raw codes as the board gave them, .dt-raw v2."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    segment: Bytes | None = Field(
        default=None,
        description="The next file begins at this size: archive.0001.dt-raw, ..., such as 1GiB; default: one file.",
    )
    journal: bool | None = Field(
        default=None,
        description=(
            "BLOCK sinks that fall behind the ring catch up from it; default: the first hbuf sink that takes every "
            "sample."
        ),
    )
    retention: Retention = Field(
        default="all",
        description="all, or {until: durable}: a journal's segment goes once it is durable in every other BLOCK sink.",
    )
