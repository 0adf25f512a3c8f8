"""The sinks of programs: an async face over the writers that the sink workers use.

What a write has taken survives the death of the program once the write has returned: each is a commit. A writer runs
in a thread, one call at a time, so that the program's event loop never waits for a disk.
"""

from __future__ import annotations

import logging
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
from anyio import to_thread

from dtopipe.model.errors import OutputExists, SinkNotOpen, SinkOptionError, SinkSchemaError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputOptions, SinkWriter, remark_of
from dtopipe.sinks.programs.daq_blocks import BlockItems
from dtopipe.sinks.programs.daq_readings import ReadingItems

_log = logging.getLogger("dtopipe.sinks")
_T = TypeVar("_T")


def output_options(path: str | Path | None, layout: str | Layout, on_exists: str | OnExists) -> OutputOptions:
    """The options that every sink has. Raises SinkOptionError."""
    try:
        chosen, exists = Layout(layout), OnExists(on_exists)
    except ValueError as error:
        words = [*(word.value for word in Layout), "/", *(word.value for word in OnExists)]
        raise SinkOptionError(path, str(error), f"layout / on_exists: {' '.join(words)}") from error
    return OutputOptions(None if path is None else Path(path).absolute(), chosen, exists)


class ProgramSink(ABC):
    """Opening, closing, and one call at a time."""

    def __init__(self, output: OutputOptions) -> None:
        self._output = output
        self._writer: SinkWriter | None = None
        self._is_open = False
        self._was_open = False
        self._was_begun = False
        self._turn = anyio.Lock()

    @abstractmethod
    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """A writer for this output, not yet open. Raises SinkError where an option cannot be or a package lacks."""

    @property
    def path(self) -> Path | None:
        """The output, absolute; None for a sink without a file."""
        return self._output.path

    @property
    def name(self) -> str:
        """What messages call it: its path, or its class."""
        return str(self.path or type(self).__name__)

    async def open(self) -> None:
        """Make sure that the output can be written; its first byte comes with the first write. Harmless twice.

        Raises OutputExists, or SinkError where a package is not installed.
        """
        if not self._is_open:
            await self._in_turn(self._check)
            self._is_open = self._was_open = True

    async def close(self) -> None:
        """Commit, complete the output for its readers and let go of it. Harmless twice.

        Raises SinkError; what was not written stays, and may be closed again.
        """
        if self._is_open:
            await self._in_turn(self._complete)
            self._is_open = False

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it, whatever happened."""
        with anyio.CancelScope(shield=True):
            try:
                await self.close()
            finally:
                # After an error of the close, which is raised: nobody will come back to it.
                self._is_open = False
                if self._writer is not None:
                    await to_thread.run_sync(self._writer.abandon)
                    self._writer = None

    def check_open(self, method: str) -> None:
        """Raise SinkNotOpen outside of `open()` and `close()`."""
        if not self._is_open:
            when = "after close()" if self._was_open else "before open()"
            raise SinkNotOpen(self.path, f"{type(self).__name__}: {method} {when}", "use it as `async with sink:`")

    def begin_run(self, stream: Stream, start: int) -> SinkWriter:
        """An open writer for this run. Raises SinkError."""
        writer = self.new_writer(self._output)
        # Where an earlier attempt left off, for want of space or of a lock.
        resume, self._was_begun = self._was_begun, True
        writer.open(stream, start, resume=resume)
        self._was_begun = False
        self._writer = writer
        return writer

    async def _in_turn(self, call: Callable[..., _T], *arguments: Any) -> _T:
        async with self._turn:
            return await to_thread.run_sync(call, *arguments)

    def _check(self) -> None:
        self.new_writer(self._output)
        path = self.path
        if path is not None and path.exists() and self._output.on_exists is OnExists.ERROR:
            raise OutputExists(
                path, "this output exists already", "move it away, or give on_exists='rename', 'overwrite' or 'append'"
            )

    def _complete(self) -> None:
        if self._writer is not None:
            self._writer.close()
            if remark := remark_of(self._writer):
                _log.warning("%s: %s", self.name, remark)
            self._writer = None


class TabularSink(ProgramSink):
    """Rows of readings or of blocks. The first write of each kind fixes its columns.

    An output with tables holds both kinds, a file one of them. A block that begins before the end of what was
    written is of another recording: it begins another run in the same output.
    """

    takes_blocks = True

    def __init__(self, output: OutputOptions) -> None:
        super().__init__(output)
        self._blocks = BlockItems(self.name)
        self._readings = ReadingItems(self.name)
        self._kinds: set[bool] = set()
        self._held: list[Any] = []
        self._held_errors: list[Any] = []
        self._taken: object = None
        self._taken_readings: Sequence[Any] = ()

    async def write_many(self, items: Sequence[Any]) -> None:
        """Store readings, in order. Raises SinkError.

        After a SinkUnavailable the same call may be made again: nothing is stored twice.
        """
        self.check_open("write_many")
        if items:
            await self._in_turn(self._write_readings, items)

    async def write(self, block: Any) -> None:
        """Store every sample of a block. Raises SinkError.

        After a SinkUnavailable the same call may be made again: nothing is stored twice.
        """
        self.check_open("write")
        if not self.takes_blocks:
            raise SinkSchemaError(
                self.path,
                f"{type(self).__name__} refuses blocks: a row a sample makes large files",
                "construct it with accept_blocks=True",
            )
        await self._in_turn(self._write_block, block)

    # One block a call, as the guide calls it.
    write_block = write

    def _write_block(self, block: Any) -> None:
        if self._taken is block:
            self._commit()
            return
        if block.error is not None and self._blocks.columns.names is None:
            # It may not even have the right channels: the first good block fixes the columns.
            self._held_errors.append(block)
            return
        if not self._blocks.goes_on(block):
            self._begin_again()
        stream = self._blocks.stream_of(block)
        writer = self._writer_of(stream, int(block.first_sample_index))
        for each in (*self._held_errors, block):
            if each.error is None or self._output.layout is Layout.LONG:
                writer.append(self._blocks.items_of(each))
            self._blocks.took(each)
        self._held_errors = []
        self._taken = block
        self._commit()

    def _write_readings(self, items: Sequence[Any]) -> None:
        taken = self._taken_readings
        if taken and len(items) >= len(taken) and all(map(operator.is_, taken, items)):
            # They are appended already: only their commit had failed.
            items = items[len(taken) :]
            self._commit()
            if not items:
                return
        readings = [*self._held, *items]
        if not self._readings.lock(readings):
            self._held = readings
            return
        self._append_readings(readings)
        self._held = []
        # A copy: the list is the program's, who may go on filling it.
        self._taken_readings = tuple(items)
        self._commit()

    def _append_readings(self, readings: Sequence[Any]) -> None:
        writer = self._writer_of(self._readings.stream_of(readings[0]), 0)
        writer.append(self._readings.items_of(readings))
        self._readings.took(readings)

    def _writer_of(self, stream: Stream, start: int) -> SinkWriter:
        """The open writer, ready for this kind of rows. Raises SinkSchemaError where it holds the other kind."""
        writer = self._writer
        if writer is None:
            writer = self.begin_run(stream, start)
        elif stream.polled not in self._kinds:
            admit: Callable[[Stream], None] | None = getattr(writer, "admit", None)
            if admit is None:
                raise SinkSchemaError(
                    self.path, "cannot mix readings and blocks in one file", "give each kind a sink of its own"
                )
            admit(stream)
        self._kinds.add(stream.polled)
        return writer

    def _begin_again(self) -> None:
        """Another run behind what is there."""
        super()._complete()
        self._kinds.clear()
        self._output = replace(self._output, on_exists=OnExists.APPEND)
        self._blocks.begin_again()

    def _commit(self) -> None:
        if self._writer is not None:
            self._writer.commit()
        self._taken = None
        self._taken_readings = ()

    def _complete(self) -> None:
        if self._held:
            self._append_readings(self._held)
            self._held = []
        super()._complete()
