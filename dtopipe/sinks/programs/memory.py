"""Keeps what it is given, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from dtopipe.model.errors import SinkNotOpen


class InMemorySink:
    """`readings` and `blocks`: what was written, in order; they stay after the close."""

    def __init__(self) -> None:
        self.readings: list[Any] = []
        self.blocks: list[Any] = []
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """True between `open()` and `close()`."""
        return self._is_open

    async def open(self) -> None:
        """Nothing to make ready. Harmless twice."""
        self._is_open = True

    async def close(self) -> None:
        """Nothing to let go of. Harmless twice."""
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def write_many(self, items: Sequence[Any]) -> None:
        """Keep readings. Raises SinkNotOpen."""
        self._check_open("write_many")
        self.readings.extend(items)

    async def write(self, block: Any) -> None:
        """Keep a block. Raises SinkNotOpen."""
        self._check_open("write")
        self.blocks.append(block)

    # One block a call, as the guide calls it.
    write_block = write

    def _check_open(self, method: str) -> None:
        if not self._is_open:
            raise SinkNotOpen(None, f"InMemorySink: {method} before open()", "use it as `async with sink:`")
