"""Raw codes of a program's blocks, `.dt-raw` v2."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import SinkError, SinkSchemaError, SpecError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.sample_arrays import checked_array, unmasked
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.sinks.programs.daq_blocks import anchor_of, stream_of
from dtopipe.sinks.programs.daq_times import error_texts
from dtopipe.sinks.programs.tabular import ProgramSink, output_options
from dtopipe.wire.dtraw_headers import FORMAT_VERSION as RAW_FORMAT_VERSION

__all__ = ["RAW_FORMAT_VERSION", "RawCountsSink"]

_log = logging.getLogger("dtopipe.sinks")


class RawCountsSink(ProgramSink):
    """Stores every block's `raw_codes` as the driver gave them, one chunk a block, whatever its index.

    `file_metadata`: JSON-able, into the file's header. A block with an error is a chunk flagged `overrun_marker`, of
    no samples where it has no codes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        file_metadata: Mapping[str, Any] | None = None,
        on_exists: str | OnExists = OnExists.ERROR,
    ) -> None:
        super().__init__(output_options(path, Layout.WIDE, on_exists))
        self._metadata = dict(file_metadata or {})
        self._stream: Stream | None = None
        self._taken: object = None

    def new_writer(self, output: OutputOptions) -> SinkWriter:
        """One chunk a block."""
        return HbufWriter(output)

    async def write_raw(self, block: Any) -> None:
        """Store a block's codes. Raises SinkError if it has none, or they are of another shape or type than before."""
        self.check_open("write_raw")
        if block.raw_codes is None and block.error is None:
            raise SinkError(
                self.path, "this block has no raw_codes", "its board converts by itself: use another kind of sink"
            )
        await self._in_turn(self._write, block)

    def _write(self, block: Any) -> None:
        if block.raw_codes is None:
            self._mark(block)
            return
        codes = self._codes(block)
        if self._stream is None:
            stream = stream_of(block, _channels(block), codes.dtype.name)
            self._stream = replace(stream, metadata=self._metadata)
        if codes.shape[0] != len(self._stream.channels) or codes.dtype.name != self._stream.dtype:
            raise SinkSchemaError(
                self.path,
                f"a block of {codes.shape[0]} channels of {codes.dtype.name} does not fit this file, which has"
                f" {len(self._stream.channels)} of {self._stream.dtype}",
                "write it to a file of its own",
            )
        writer = self._writer or self.begin_run(self._stream, int(block.first_sample_index))
        self._append(writer, block, codes)

    def _codes(self, block: Any) -> NDArray[Any]:
        """Raises SinkSchemaError where they are no codes of one row a channel."""
        try:
            codes = unmasked("raw_codes", np.asanyarray(block.raw_codes))
            return checked_array("raw_codes", codes, len(block.channels), int(block.samples_per_channel))
        except SpecError as error:
            raise SinkSchemaError(self.path, str(error), "give an array of one row a channel") from error

    def _mark(self, block: Any) -> None:
        """A chunk of no samples; before the first codes there is no file that it could go to."""
        _log.warning("%s: block %d is an error: %s", self.name, block.block_index, block.error)
        if self._writer is not None and self._stream is not None:
            self._append(self._writer, block, np.empty((len(self._stream.channels), 0), self._stream.dtype))

    def _append(self, writer: SinkWriter, block: Any, codes: NDArray[Any]) -> None:
        if self._taken is not block:
            anchor = anchor_of(block)
            writer.append(
                [Block(int(block.block_index), anchor.sample_index, codes, anchor, None, error_texts(block.error))]
            )
            self._taken = block
        writer.commit()
        self._taken = None


def _channels(block: Any) -> tuple[Channel, ...]:
    """As the block says; without a calibration its codes are all that is known."""
    calibration: tuple[Channel, ...] | None = getattr(block, "calibration", None)
    if calibration is not None:
        return calibration
    return tuple(Channel(str(name), block.units.get(name) or "", kind="raw") for name in block.channels)
