"""What sinks of lines can be told in a topology."""

from __future__ import annotations

from pydantic import Field

from dtopipe.model.parts import PathText, SinkPart


class CsvOptions(SinkPart):
    """CSV after RFC 4180: a header line, then a line a row."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")


class JsonlOptions(SinkPart):
    """JSON Lines: an object a row."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
