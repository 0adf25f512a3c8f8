"""What a sink of SQLite can be told in a topology."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dtopipe.model.parts import PathText, SinkPart


def _capitals(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


# What risks no committed row.
JournalMode = Annotated[Literal["WAL", "DELETE", "TRUNCATE", "PERSIST"], BeforeValidator(_capitals)]
Synchronous = Annotated[Literal["OFF", "NORMAL", "FULL", "EXTRA"], BeforeValidator(_capitals)]


class SqliteOptions(SinkPart):
    """Tables in one SQLite file."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    table_readings: str = Field(default="readings", description="Name of the table of readings.")
    table_blocks: str = Field(default="blocks", description="Name of the table of block summaries.")
    journal_mode: JournalMode = Field(default="WAL", description="SQLite's pragma, while the file is open.")
    synchronous: Synchronous = Field(default="NORMAL", description="SQLite's pragma.")
    busy_timeout_ms: int = Field(default=5000, ge=0, description="How long to wait for another program's lock.")
