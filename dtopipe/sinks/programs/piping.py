"""Drains a stream into a sink, losing nothing: not while nothing comes, and not when the sink fails."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterable
from typing import Any
from weakref import WeakKeyDictionary

import anyio

from dtopipe.sinks.programs.protocols import BlockSink, ReadingSink

_log = logging.getLogger("dtopipe.sinks")
# What was taken from a stream and not written, until somebody pipes that stream again.
_unwritten: WeakKeyDictionary[Any, list[Any]] = WeakKeyDictionary()


async def pipe(
    stream: AsyncIterable[Any], sink: ReadingSink, *, batch_size: int = 64, flush_interval_s: float = 1.0
) -> int:
    """Write every reading of `stream` to an open sink; returns how many were written.

    A batch is written once it has `batch_size` readings or `flush_interval_s` has passed since the last one, whether
    further readings come or not. When the sink fails, its error is raised with the next reading or at the end; what
    was taken from the stream and is not written is kept, and written first when the same stream is piped again.
    Raises ValueError for a batch of none or no interval.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size!r}")
    if not flush_interval_s > 0:
        raise ValueError(f"flush_interval_s must be > 0, got {flush_interval_s!r}")
    batches = _Batches(sink, _taken_before(stream), batch_size)
    failed: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(batches.flush_every, flush_interval_s)
        try:
            async for reading in stream:
                batches.held.append(reading)
                if batches.failed or len(batches.held) >= batch_size:
                    await batches.flush()
            await batches.flush()
        except Exception as error:
            failed = error
        finally:
            # Also where this task was cancelled: what was taken is not given up.
            with anyio.CancelScope(shield=True):
                await _finish(batches, stream, failed)
            group.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return batches.written


async def pipe_blocks(stream: AsyncIterable[Any], sink: BlockSink, *, flush_interval_s: float | None = None) -> int:
    """Write every block of `stream` to an open sink, one call a block; returns how many were written.

    `flush_interval_s` is there for the likeness with `pipe`: each block is committed as it is written. When the sink
    fails, its error is raised; the block is kept, and written first when the same stream is piped again.
    """
    del flush_interval_s
    written = 0
    for block in _taken_before(stream):
        await _write(stream, sink, block)
        written += 1
    async for block in stream:
        await _write(stream, sink, block)
        written += 1
    return written


class _Batches:
    """Readings on their way into a sink."""

    def __init__(self, sink: ReadingSink, held: list[Any], batch_size: int) -> None:
        self._sink = sink
        self._batch_size = batch_size
        self._turn = anyio.Lock()
        self._flushed_s = time.monotonic()
        self.held = held
        self.written = 0
        self.failed = False

    async def flush(self) -> None:
        """Write what is held, in batches. Raises what the sink raises; the batch stays held then."""
        async with self._turn:
            while self.held:
                batch = self.held[: self._batch_size]
                self.failed = True
                await self._sink.write_many(batch)
                self.failed = False
                del self.held[: len(batch)]
                self.written += len(batch)
            self._flushed_s = time.monotonic()

    async def flush_every(self, interval_s: float) -> None:
        """Write what lies for too long, whether more comes or not."""
        while True:
            await anyio.sleep(max(0.001, self._flushed_s + interval_s - time.monotonic()))
            if time.monotonic() - self._flushed_s < interval_s:
                continue
            try:
                await self.flush()
            except Exception as error:
                _log.warning("%d readings wait for %s: %s", len(self.held), type(self._sink).__name__, error)
                self._flushed_s = time.monotonic()


async def _finish(batches: _Batches, stream: Any, failed: BaseException | None) -> None:
    """Write what a pipe holds that was cancelled or whose stream failed; keep what cannot be written."""
    if batches.held and not batches.failed:
        try:
            await batches.flush()
        except Exception as error:
            failed = error
            _log.warning("%d readings could not be written: %s", len(batches.held), error)
    if batches.held:
        _keep(stream, batches.held, failed)


async def _write(stream: Any, sink: BlockSink, block: Any) -> None:
    try:
        await sink.write(block)
    except BaseException as error:
        _keep(stream, [block], error)
        raise


def _taken_before(stream: Any) -> list[Any]:
    try:
        return _unwritten.pop(stream, [])
    except TypeError:
        return []


def _keep(stream: Any, items: list[Any], error: BaseException | None) -> None:
    try:
        _unwritten[stream] = list(items)
        note = f"{len(items)} items of the stream are not written; pipe the same stream again to go on with them"
    except TypeError:
        note = f"{len(items)} items of the stream are not written"
    if error is not None:
        error.add_note(note)
