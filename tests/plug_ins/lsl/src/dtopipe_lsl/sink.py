"""Sink `lsl`: a run goes out live, to any viewer of the lab streaming layer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pylsl
from pydantic import Field

from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.errors import SinkError
from dtopipe.model.parts import PathText, SinkPart
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.writer import FileWriter
from dtopipe_lsl.clock import lsl_ahead_ns

# An outlet sends by itself, and does not say when it has; who listens gets the end if it stays for as long.
_LINGER_S = 0.3


class LslOptions(SinkPart):
    """A stream of the lab streaming layer; nothing of it is kept."""

    path: PathText = Field(min_length=1, description="A small file: how far it is; relative to the run folder.")
    stream: str | None = Field(default=None, description="The stream's name; default: the topology's.")
    stream_type: str = Field(default="dtopipe", description="Its type, such as EEG.")


class LslWriter(FileWriter):
    """Sends samples when they are committed, in their units and with their times.

    How far it is stands in the commit record. A writer that is killed between sending and that has its successor send
    the samples of one commit again, with the same times.
    """

    sink_type = "lsl"

    def __init__(self, output: OutputOptions, *, stream: str | None = None, stream_type: str = "dtopipe") -> None:
        super().__init__(output)
        self._name = stream
        self._type = stream_type
        self._outlet: Any = None
        self._waiting: list[Block] = []

    def header(self, stream: Stream) -> bytes:
        """The file's only bytes: which stream it is."""
        if stream.polled:
            raise SinkError(self.path, "an lsl stream has one clock, and readings have none", "choose another sink")
        if self.output.layout is not Layout.WIDE:
            raise SinkError(self.path, "an lsl stream has the wide layout only", "set layout: wide")
        return json.dumps({"stream": self._name or stream.task, "source_id": stream.run_id}).encode() + b"\n"

    def begun(self, stream: Stream, extra: bytes) -> None:
        """Let others find the stream; a successor has the same source_id, so that they go on with it."""
        self._clock = stream.clock
        self._values = EngineeringValues(stream.channels)
        if self._outlet is not None:
            return
        info = pylsl.StreamInfo(
            self._name or stream.task, self._type, len(stream.channels), stream.rate_hz, "double64", stream.run_id
        )
        channels = info.desc().append_child("channels")
        for channel in stream.channels:
            told = channels.append_child("channel")
            told.append_child_value("label", channel.name)
            told.append_child_value("unit", channel.unit)
        self._outlet = pylsl.StreamOutlet(info)
        self._ahead_ns = lsl_ahead_ns()

    def encoded(self, items: Sequence[Block | Gap | Readings]) -> Iterable[bytes]:
        """No bytes: a stream is not kept."""
        return ()

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Sent with the next commit. A gap is not sent: the times behind it say that there is one."""
        super().append(items)
        self._waiting += [item for item in items if isinstance(item, Block)]

    def commit(self) -> Position:
        """Send what was appended, then note that."""
        waiting, self._waiting = self._waiting, []
        for block in waiting:
            t_ns = block.t_mono_ns(self._clock) + self._ahead_ns
            values = self._values(block.codes, block.sensor_status)
            self._outlet.push_chunk(np.ascontiguousarray(values.T), (t_ns / 1e9).tolist())
        return super().commit()

    def close(self) -> Position:
        """As FileWriter.close; who listens is given the time to hear the end."""
        self.commit()
        if self._outlet.have_consumers():
            time.sleep(_LINGER_S)
        return super().close()

    def abandon(self) -> None:
        """The stream ends, or is gone on with by a successor."""
        self._outlet = None
        super().abandon()
