"""The replay board: a `.dt-raw` file, played again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.boards.contract import Ended, Opened, Overrun, Taken
from dtopipe.boards.pace import WaitingPace
from dtopipe.boards.recording import Recording
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import BoardError, WireError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Cause
from dtopipe.model.stream import Channel
from dtopipe.wire.dtraw import FileHeader

BOARD = "replay"
_OPTIONS = ("path", "speed", "loop")


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """`speed`: times the recorded rate; None for `max`, as fast as it is read."""

    path: Path
    speed: float | None = 1.0
    loop: bool = False

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> ReplayOptions:
        """The options in the `board` section's keys. Raises BoardError on what it does not know or cannot be."""
        for key in options:
            if key not in _OPTIONS:
                raise BoardError(BOARD, f"there is no option {key!r}", f"there are {', '.join(_OPTIONS)}")
        path, speed = options.get("path"), options.get("speed", 1.0)
        if not path:
            raise BoardError(BOARD, "it has no path", "name the .dt-raw file to play: path: FILE.dt-raw")
        try:
            factor = None if speed == "max" else float(speed)
        except (TypeError, ValueError):
            factor = 0.0
        if factor is not None and not 0.0 < factor < float("inf"):
            raise BoardError(BOARD, f"speed cannot be {speed!r}", "write 1.0 for the recorded rate, 2.0, ... or max")
        return cls(Path(path), factor, bool(options.get("loop", False)))


class ReplayBoard:
    """Plays a recording with its codes, rate, channels, gaps and sensor status; blocks are the file's chunks.

    It waits for its reader, at any speed: nothing is lost that the recording has. A file that is cut or spoilt is
    played up to there, then ends, and the run's metadata say so; a chunk whose checksum does not fit is a gap with
    cause `write_error`.
    """

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None = None) -> None:
        self._raw_options = options
        self._recording: Recording | None = None
        self._pace: WaitingPace | None = None

    def open(self) -> Opened:
        """Read the file's index. Raises BoardError if it is not there or not a recording."""
        self._options = options = ReplayOptions.parse(self._raw_options)
        self._recording = recording = _recording(options)
        header = recording.header
        if recording.damage:
            logging.warning("%s; played up to sample %d", recording.damage, recording.n_samples)
        self._dtype = _delivered_dtype(header, options.path)
        return Opened(
            device=header.device or BOARD,
            channels=tuple(_delivered(channel, self._dtype) for channel in header.channels),
            dtype=self._dtype,
            rate_hz=header.sample_rate_hz,
            samples_per_block=recording.samples_per_block,
            clocked=False,
            resumable=True,
            simulated=header.metadata.get("simulated") is True,
            end_sample_index=recording.end,
            metadata={"replayed": _origin(recording)},
            virtual=header.virtual,
        )

    def start(self, at: int) -> None:
        """Start playing at sample `at`."""
        recording, speed = self._opened(), self._options.speed
        clock = None if speed is None else SampleClock(recording.header.sample_rate_hz * speed)
        self._pace = WaitingPace(recording, clock, at)

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next chunk, gap or end, or None if it is not due within `timeout_s`. Raises BoardError."""
        if self._pace is None:
            raise BoardError(BOARD, "it is read before it was started")
        piece = self._pace.next(timeout_s)
        if piece is None or isinstance(piece, Ended):
            return piece
        if piece.cause is not None:
            return Overrun(piece.span, piece.cause)
        recording = self._opened()
        try:
            codes, status = recording.read(piece.span)
        except WireError as error:
            logging.warning("%s; samples %d to %d are a gap", error, piece.span.start, piece.span.stop)
            return Overrun(piece.span, Cause.WRITE_ERROR)
        except OSError as error:
            raise BoardError(
                BOARD, f"{recording.path} cannot be read: {error.strerror}", "is the disk still there?"
            ) from error
        return Taken(piece.span.start, self._converted(codes), status)

    def give_back(self) -> None:
        """Nothing: each chunk has memory of its own."""

    def stop(self) -> None:
        """Stop playing; harmless before `start` and twice."""
        if self._pace is not None:
            self._pace.stop()

    def close(self) -> None:
        """Close the file."""
        self._pace = None
        if self._recording is not None:
            self._recording.close()

    def _opened(self) -> Recording:
        if self._recording is None:
            raise BoardError(BOARD, "it is used before it was opened")
        return self._recording

    def _converted(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The codes in the delivered dtype; float64 is in engineering units."""
        if self._dtype != "float64":
            return codes.astype(self._dtype, copy=False)
        channels = self._opened().header.channels
        scales = np.array([[channel.scale] for channel in channels])
        offsets = np.array([[channel.offset] for channel in channels])
        values: NDArray[np.float64] = codes * scales + offsets
        return values


def _recording(options: ReplayOptions) -> Recording:
    path = options.path
    try:
        recording = Recording(path, loop=options.loop)
    except FileNotFoundError:
        raise BoardError(BOARD, f"there is no file {path}", "board.path names the .dt-raw file to play") from None
    except OSError as error:
        raise BoardError(
            BOARD, f"{path} cannot be read: {error.strerror}", "board.path names a .dt-raw file"
        ) from error
    except WireError as error:
        raise BoardError(
            BOARD, str(error), "board.path names a .dt-raw file, as sinks of raw codes write them"
        ) from error
    if recording.samples_per_block == 0:
        why = f": {recording.damage}" if recording.damage else ""
        raise BoardError(BOARD, f"{path} holds no samples{why}", "choose another recording")
    if not recording.header.sample_rate_hz > 0:
        raise BoardError(BOARD, f"{path} does not say its sample rate", "its file header needs sample_rate_hz")
    return recording


def _delivered_dtype(header: FileHeader, path: Path) -> str:
    """The smallest of the dtypes that a stream may have which holds every code; float64 where none does."""
    recorded = np.dtype(header.dtype)
    for name in ("int16", "int32", "float64"):
        if np.can_cast(recorded, name):
            return name
    if recorded.kind in "iuf":
        return "float64"
    raise BoardError(BOARD, f"{path} holds samples of type {header.dtype}", "only integers and floats can be played")


def _delivered(channel: Channel, dtype: str) -> Channel:
    if dtype == "float64":
        return replace(channel, kind="voltage", scale=1.0, offset=0.0)
    if channel.scale == 1.0 and channel.offset == 0.0:
        return replace(channel, kind="raw")
    return channel


def _origin(recording: Recording) -> dict[str, Any]:
    """Where the samples come from, for the records of the run."""
    header = recording.header
    origin: dict[str, Any] = {
        "path": str(recording.path),
        "task": header.task,
        "device": header.device,
        "task_started_at": header.task_started_at,
        "metadata": dict(header.metadata),
    }
    if recording.first_sample_index:
        origin["first_sample_index"] = recording.first_sample_index
    if recording.overruns_of_unknown_length:
        origin["overruns_of_unknown_length"] = recording.overruns_of_unknown_length
    if recording.damage:
        origin["damage"] = recording.damage
    return origin
