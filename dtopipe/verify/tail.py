"""Follows an output by its commits, also while it is written: only what is committed is read, and nothing is written.

An output is read as a whole file by its reader each time, from its beginning: rows that were told are passed over. So
that a large one costs no processor, looks are as far apart as five of them take.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.lifecycle import SinkState
from dtopipe.host.run_folder import RunFolder, find_run
from dtopipe.host.run_life import holder_of, reached
from dtopipe.model.errors import SinkError, UsageError
from dtopipe.model.stream import Stream
from dtopipe.model.suggestions import nearest
from dtopipe.sinks.contract import OutputReader, OutputRows
from dtopipe.sinks.file.whole_part import DamagedBytes
from dtopipe.sinks.parts.reader import own_parts
from dtopipe.sinks.registry import known_sink_type, load_reader
from dtopipe.sinks.text.reader import TextReader
from dtopipe.verify.outputs import Output, outputs_of
from dtopipe.verify.outside import OutputOutside
from dtopipe.verify.tail_lines import rows_from

_T = TypeVar("_T")
_log = logging.getLogger("dtopipe.tail")
_LOOK_EVERY_S = 0.1
_RESTS = 5
_LONGEST_REST_S = 60.0
_LASTS_S = 3.0
_RUNS = Path("runs")
# States of a sink that nobody brings back in this run.
_ENDED = (SinkState.DONE, SinkState.DETACHED, SinkState.CUT_OFF, SinkState.CANCELLED)


@dataclass(frozen=True, slots=True, eq=False)
class CommittedRows:
    """Some rows of an output, as columns; each row is whole, and survives the death of every process.

    `sample_index`, `t_mono_ns`, `t_utc_ns`: (n,) int64. `values`: of each channel in them (n,) float64 in its unit, NaN
    for null; rows of the long layout have one channel at a time, and are not `is_wide`.
    """

    sample_index: NDArray[np.int64]
    t_mono_ns: NDArray[np.int64]
    t_utc_ns: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    is_wide: bool = True

    def __len__(self) -> int:
        return len(self.sample_index)


def tail(
    sink: str,
    run: str | os.PathLike[str] | None = None,
    *,
    start: str | int = "earliest",
    run_dir: str | os.PathLike[str] = _RUNS,
    outside: bool = False,
) -> Iterator[CommittedRows]:
    """The rows of a sink's output as they are committed, until the run, or the sink, has ended and all were told.

    `run`: a run folder, `name`, `name/<start>` or `name/latest`; without it, the only run in progress. `start`:
    `"earliest"`, `"latest"` for what is committed from now on, or a sample index. `outside`: also an output outside of
    the run folder of a run that has ended. Raises UsageError, SinkError.
    """
    folder = find_run(None if run is None else os.fspath(run), Path(run_dir), outside=outside)
    return OutputTail(folder, sink, start).rows()


class OutputTail:
    """One output of a run, and how much of it was told."""

    def __init__(
        self, folder: RunFolder, name: str, start: str | int = "earliest", say: Callable[[str], None] = _log.info
    ) -> None:
        """`say` is told, once, what is waited for.

        Raises UsageError if the run has no such sink, SinkError if nobody here can read its output.
        """
        if isinstance(start, bool) or not (start in ("earliest", "latest") or isinstance(start, int)):
            raise UsageError(f"start cannot be {start!r}", "use earliest, latest, or a sample index")
        # Who reaches the run's supervisor is its user.
        self._folder = RunFolder(folder.path, outside=folder.outside or reached(folder) is not None)
        self._name = name
        sinks = folder.read_record()["sinks"]
        if name not in sinks:
            raise UsageError(f"the run {folder.path} has no sink {name!r}", nearest(name, sinks))
        self.type: str = sinks[name]["type"]
        load_reader(self.type)
        self._say = say
        self._trouble_since_s: float | None = None
        self._stream: Stream | None = None
        self._is_from_now_on = start == "latest"
        # What is before this sample index was told, or is not wanted; of a text also what is before this byte.
        self._at = start if isinstance(start, int) else 0
        self._at_byte: int | None = None
        self._has_titles = False
        # The part that is told, of an output that is split.
        self._part = 0
        # A look may break off, and the next one goes on: rows of one channel come in order.
        self._told: dict[int | None, int] = {}

    @property
    def is_text(self) -> bool:
        """True for an output of lines."""
        return known_sink_type(self.type).is_text

    @property
    def stream(self) -> Stream:
        """What the output is of, once rows of it were told. Raises SinkError before."""
        if self._stream is None:
            raise SinkError(None, f"{self._name} has no rows yet", "take some first")
        return self._stream

    def rows(self) -> Iterator[CommittedRows]:
        """What is committed and was not told yet, until there can be no more."""
        return self._looks(self._new_rows)

    def lines(self) -> Iterator[bytes]:
        """The same of a text, as whole lines just as they stand in the file, the names of the columns first."""
        return self._looks(self._new_lines)

    def _new_rows(self, output: Output, reader: OutputReader) -> Iterator[CommittedRows]:
        if isinstance(reader, TextReader):
            begin, stop = self._bytes_of(reader)
            yield from self._parts(reader.rows(begin, stop, DamagedBytes(reader.refuse)), None)
            self._at_byte = stop
        else:
            stop = reader.position().committed
            if self._is_from_now_on:
                self._is_from_now_on, self._at = False, stop
            if stop <= self._at:
                return
            yield from self._parts(reader.batches(), stop)
            self._at = stop
        self._told.clear()

    def _new_lines(self, output: Output, reader: OutputReader) -> Iterator[bytes]:
        if not isinstance(reader, TextReader):
            raise SinkError(output.path, f"a {self.type} output has no lines", "ask for its rows")
        is_first = self._at_byte is None
        begin, stop = self._bytes_of(reader)
        if is_first and not self._has_titles and (n_bytes := reader.rows_begin()):
            self._has_titles = True
            with reader.path.open("rb") as file:
                yield file.read(n_bytes)
        index_of = reader.index_of(is_long=not output.is_wide)
        for at, piece in reader.pieces(begin, stop, DamagedBytes(reader.refuse)):
            wanted = rows_from(piece, self._at, index_of, has_quotes=reader.has_quotes) if self._at > 0 else piece
            self._at_byte = at + len(piece)
            if wanted:
                yield wanted

    def _bytes_of(self, reader: TextReader) -> tuple[int, int]:
        """The bytes whose lines are to be told now."""
        if self._at_byte is None:
            self._at_byte = max(reader.stop if self._is_from_now_on else reader.start, reader.rows_begin())
        return self._at_byte, max(self._at_byte, reader.stop)

    def _parts(self, batches: Iterable[OutputRows], stop: int | None) -> Iterator[CommittedRows]:
        """The rows that are wanted: from where each channel was told to, before `stop`."""
        names = [channel.name for channel in self.stream.channels]
        for rows in batches:
            wanted = rows.sample_index >= self._told.get(rows.channel, self._at)
            if stop is not None:
                wanted &= rows.sample_index < stop
            if not wanted.any():
                continue
            of = names if rows.channel is None else [names[rows.channel]]
            values = {name: column[wanted] for name, column in zip(of, rows.values, strict=True)}
            times = (rows.sample_index[wanted], rows.t_mono_ns[wanted], rows.t_utc_ns[wanted])
            part = CommittedRows(*times, values, is_wide=rows.channel is None)
            self._told[rows.channel] = int(part.sample_index[-1]) + 1
            yield part

    def _looks(self, new: Callable[[Output, OutputReader], Iterator[_T]]) -> Iterator[_T]:
        """What is `new` at each look, until nothing more can come. What cannot be read meanwhile is waited for."""
        while True:
            record = self._folder.read_record()
            # Asked before the look: what comes meanwhile is seen by the next one.
            is_over = self._is_over(record)
            # What whoever asks does with it is none of the look.
            began_s = time.monotonic()
            try:
                for output in self._outputs(record):
                    self._stream = output.stream
                    for found in new(output, output.reader()):
                        given_s = time.monotonic()
                        yield found
                        began_s += time.monotonic() - given_s
            except OutputOutside:
                raise
            except SinkError as error:
                if is_over:
                    raise
                self._trouble(error)
            else:
                self._trouble_since_s = None
            if is_over:
                return
            time.sleep(max(_LOOK_EVERY_S, min(_LONGEST_REST_S, _RESTS * (time.monotonic() - began_s))))

    def _outputs(self, record: dict[str, Any]) -> Iterator[Output]:
        """The output, or of one that is split each part that has come since the last look, from that one on."""
        for output in outputs_of(self._folder, record):
            if output.name != self._name:
                continue
            if not output.part_samples or output.path is None:
                yield output
                continue
            there = own_parts(output.path, output.run_id)
            if not self._part and self._is_from_now_on:
                self._part = max(there, default=0)
            for number, file in there.items():
                if number < self._part:
                    continue
                if self._part and number > self._part:
                    # The part before was told to its end: this one is only begun behind it.
                    self._at_byte, self._is_from_now_on = None, False
                self._part = number
                yield replace(output, path=file, place=str(file), part_samples=0)

    def _trouble(self, error: SinkError) -> None:
        """Say it once, if it lasts: a writer that goes on while it is read is none."""
        now_s = time.monotonic()
        if self._trouble_since_s is None:
            self._trouble_since_s = now_s
        elif now_s - self._trouble_since_s > _LASTS_S:
            self._say(f"waits for {self._name}: {error}")
            self._trouble_since_s = math.inf

    def _is_over(self, record: dict[str, Any]) -> bool:
        """True if nothing will be added to the output by this run any more."""
        if record.get("verdict") is not None or record["sinks"].get(self._name, {}).get("state") in _ENDED:
            return True
        return holder_of(self._folder) is None
