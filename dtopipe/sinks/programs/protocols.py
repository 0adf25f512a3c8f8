"""The three shapes of sinks that programs write to; each is an async context manager.

Blocks and readings are taken by their attributes: ours and the driver library's own objects alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable


class _Opens(Protocol):
    async def open(self) -> None:
        """Make ready. Harmless twice. Raises SinkError."""

    async def close(self) -> None:
        """Complete what was written and let go of it. Harmless twice. Raises SinkError."""

    async def __aenter__(self) -> Self:
        """Open it."""

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it, whatever happened."""


@runtime_checkable
class ReadingSink(_Opens, Protocol):
    """Takes readings, many at a time."""

    async def write_many(self, items: Sequence[Any]) -> None:
        """Store `DaqReading`s, in order. Raises SinkError."""


@runtime_checkable
class BlockSink(_Opens, Protocol):
    """Takes blocks of samples, one at a time."""

    async def write(self, block: Any) -> None:
        """Store a `DaqBlock`. Raises SinkError."""


@runtime_checkable
class RawBlockSink(_Opens, Protocol):
    """Takes blocks for their raw codes, one at a time."""

    async def write_raw(self, block: Any) -> None:
        """Store a `DaqBlock`'s `raw_codes`. Raises SinkError."""
