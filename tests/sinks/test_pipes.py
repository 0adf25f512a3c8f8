"""`pipe` and `pipe_blocks`: batches, a timer that needs no traffic, and nothing lost when the sink fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from daq import block, reading

from dtopipe.sinks import CsvSink, InMemorySink, pipe, pipe_blocks

pytestmark = pytest.mark.anyio


class Failing(InMemorySink):
    """Fails as often as it is told to; remembers the batches that it took."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures
        self.batches: list[int] = []
        self.changed = anyio.Event()

    async def write_many(self, items: Sequence[Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        await super().write_many(items)
        self.batches.append(len(items))
        self.changed.set()
        self.changed = anyio.Event()

    async def write(self, block: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        await super().write(block)


async def some(n: int) -> AsyncIterator[Any]:
    for number in range(n):
        yield reading(number)


async def test_batches_are_as_large_as_asked_for_and_the_rest_comes_at_the_end() -> None:
    async with Failing() as sink:
        assert await pipe(some(10), sink, batch_size=4, flush_interval_s=1000.0) == 10
    assert sink.batches == [4, 4, 2]


async def test_a_batch_is_written_after_the_interval_though_nothing_more_comes() -> None:
    send, receive = anyio.create_memory_object_stream[Any](10)
    async with Failing() as sink, receive, anyio.create_task_group() as group:
        group.start_soon(pipe, receive, sink)
        await send.send(reading(0))
        with anyio.fail_after(10):
            while not sink.readings:
                await sink.changed.wait()
        assert sink.batches == [1]
        await send.aclose()


@pytest.mark.parametrize(("batch_size", "interval_s"), [(0, 1.0), (4, 0.0)])
async def test_a_batch_of_none_and_no_interval_are_refused(batch_size: int, interval_s: float) -> None:
    async with InMemorySink() as sink:
        with pytest.raises(ValueError, match=r"batch_size|flush_interval_s"):
            await pipe(some(1), sink, batch_size=batch_size, flush_interval_s=interval_s)


async def test_what_a_failing_sink_did_not_take_is_written_first_when_the_stream_is_piped_again() -> None:
    stream = some(10)
    async with Failing(failures=1) as sink:
        with pytest.raises(OSError, match="away") as caught:
            await pipe(stream, sink, batch_size=4, flush_interval_s=1000.0)
        assert any("4 items" in note for note in caught.value.__notes__)
        assert await pipe(stream, sink, batch_size=4, flush_interval_s=1000.0) == 10
    assert [each.t_mono_ns for each in sink.readings] == [number * 10**9 for number in range(10)]


async def test_a_sink_that_is_away_for_a_while_loses_nothing_and_raises_nothing() -> None:
    send, receive = anyio.create_memory_object_stream[Any](100)
    async with Failing(failures=3) as sink, receive, anyio.create_task_group() as group:
        group.start_soon(lambda: pipe(receive, sink, batch_size=64, flush_interval_s=0.02))
        for number in range(5):
            send.send_nowait(reading(number))
        with anyio.fail_after(10):
            while len(sink.readings) < 5:
                await sink.changed.wait()
        await send.aclose()
    assert [each.t_mono_ns for each in sink.readings] == [number * 10**9 for number in range(5)]


async def test_a_cancelled_pipe_writes_what_it_has_taken() -> None:
    send, receive = anyio.create_memory_object_stream[Any](100)
    async with Failing() as sink, receive, send:
        for number in range(5):
            send.send_nowait(reading(number))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: pipe(receive, sink, flush_interval_s=1000.0))
            while receive.statistics().current_buffer_used:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert len(sink.readings) == 5


async def test_the_error_of_the_stream_itself_is_raised_and_what_came_before_it_is_written() -> None:
    async def broken() -> AsyncIterator[Any]:
        yield reading(0)
        raise KeyError("mine")

    stream = broken()
    async with InMemorySink() as sink:
        with pytest.raises(KeyError, match="mine"):
            await pipe(stream, sink)
        assert len(sink.readings) == 1


async def blocks(n: int) -> AsyncIterator[Any]:
    for number in range(n):
        yield block(4 * number)


async def test_blocks_are_written_one_by_one() -> None:
    async with InMemorySink() as sink:
        assert await pipe_blocks(blocks(3), sink) == 3
    assert [each.first_sample_index for each in sink.blocks] == [0, 4, 8]


async def test_a_block_that_a_failing_sink_did_not_take_comes_first_the_next_time() -> None:
    stream = blocks(4)
    async with Failing(failures=1) as sink:
        with pytest.raises(OSError, match="away"):
            await pipe_blocks(stream, sink)
        assert await pipe_blocks(stream, sink) == 4
    assert [each.first_sample_index for each in sink.blocks] == [0, 4, 8, 12]


async def test_a_pipe_into_a_file_is_whole(tmp_path: Path) -> None:
    async with CsvSink(tmp_path / "x.csv") as sink:
        assert await pipe(some(1000), sink) == 1000
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 1001
