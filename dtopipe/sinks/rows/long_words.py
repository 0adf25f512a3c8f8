"""What rows of the long layout say in words; the rest of their columns are numbers."""

from __future__ import annotations

from collections.abc import Iterator

from dtopipe.model.engineering import ERROR_MESSAGES, ERROR_TYPES
from dtopipe.model.stream import Stream

WORD_COLUMNS = ("device", "task", "channel", "unit", "error_type", "error_message")
# No run has as many: a thousand channels have five thousand.
MOST_WORDS = 100_000


def words_of(stream: Stream) -> Iterator[tuple[str | None, ...]]:
    """All that rows of this stream may say, in the order of `WORD_COLUMNS`."""
    for channel in stream.channels:
        for error_type, message in zip(ERROR_TYPES, ERROR_MESSAGES, strict=True):
            yield stream.device, stream.task, channel.name, channel.unit, error_type, message
