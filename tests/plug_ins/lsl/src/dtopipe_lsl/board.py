"""Board `lsl`: one stream of a device in the lab, as its program sends it over the network."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pylsl
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from dtopipe.boards.contract import Ended, Opened, Overrun, Taken
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Span
from dtopipe.model.stream import Channel
from dtopipe_lsl.clock import lsl_ahead_ns

# What LSL sends in whole numbers stays as it is; all else is values in their unit.
_DTYPES = {pylsl.cf_int8: "int16", pylsl.cf_int16: "int16", pylsl.cf_int32: "int32"}
# The least that an inlet can be told to keep, in seconds.
_LEAST_BUFFER_S = 2


class LslBoard:
    """A stream of the lab streaming layer, with its own times."""

    class Options(BaseModel):
        """What a topology may say under `board:`."""

        stream: str | None = Field(default=None, description="The stream's name; default: any.")
        stream_type: str | None = Field(default=None, description="Its type, such as EEG; default: any.")
        source_id: str | None = Field(default=None, description="Its source_id, where several have one name.")
        look_for_s: float = Field(default=5.0, gt=0, description="How long it is looked for before it counts as away.")
        hole_s: float = Field(
            default=0.1, gt=0, description="Samples further apart than this had others between them, which were lost."
        )

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        self._options = options
        self._task = task
        self._inlet: Any = None

    def open(self) -> Opened:
        """Find the stream and listen to it. Raises BoardError if it is not there, or has other channels."""
        task = self._task
        if task is None or not task.channels:
            raise BoardError("lsl", "it has no channels", "give the topology a task: with channels:", is_final=True)
        info = self._found()
        self._rate_hz = info.nominal_srate()
        self._n = task.samples_per_block
        self._picked = [
            number if channel.physical_channel is None else channel.physical_channel
            for number, channel in enumerate(task.channels)
        ]
        self._refuse_what_cannot_be(info, task)
        self._dtype = _DTYPES.get(info.channel_format(), "float64")
        buffer_s = max(_LEAST_BUFFER_S, math.ceil(task.driver_buffers * self._n / self._rate_hz))
        # Not mended by LSL: a stream that is gone is told of, so that what it missed is a gap with its cause.
        self._inlet = pylsl.StreamInlet(info, max_buflen=buffer_s, recover=False)
        with _told():
            self._inlet.open_stream(timeout=self._options["look_for_s"])
            units = _units(self._inlet.info(timeout=self._options["look_for_s"]))
            # The first answer takes a moment.
            self._inlet.time_correction(timeout=self._options["look_for_s"])
        return Opened(
            device=f"{info.name()} on {info.hostname()}",
            channels=tuple(
                Channel(
                    name=channel.name,
                    unit=units.get(number, "") if channel.unit is None else channel.unit,
                    kind=channel.kind,
                    physical_channel=number,
                )
                for channel, number in zip(task.channels, self._picked, strict=True)
            ),
            dtype=self._dtype,
            rate_hz=self._rate_hz,
            samples_per_block=self._n,
            clocked=True,
            resumable=False,
            metadata={"lsl": {"name": info.name(), "type": info.type(), "source_id": info.source_id()}},
        )

    def start(self, at: int) -> int:
        """The first sample that is taken from now on has index `at`; returns when its source took it."""
        # Behind the last event that is known, given or not.
        self._end = at
        self._events: deque[Taken | Overrun] = deque()
        self._held = np.zeros((0, len(self._picked)), self._dtype)
        self._is_stopped = False
        began_s = pylsl.local_clock()
        while pylsl.local_clock() < began_s + self._options["look_for_s"]:
            with _told():
                samples, times = self._inlet.pull_chunk(timeout=0.01, max_samples=self._n, as_numpy=True)
                here_s = times + self._inlet.time_correction()
            # What was under way before is of no run.
            new = here_s >= began_s
            if new.any():
                self._last_s = float(times[new][0])
                self._sort(samples[new], times[new])
                return round(float(here_s[new][0]) * 1e9) - lsl_ahead_ns()
        raise BoardError("lsl", "the stream delivers nothing", "look at the program that sends it")

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next block; what was lost before it is said first."""
        if not self._events:
            self._pull(0 if self._is_stopped else timeout_s)
        if not self._events and self._is_stopped:
            self._give_held()
            if not self._events:
                return Ended(self._end)
        return self._events.popleft() if self._events else None

    def give_back(self) -> None:
        """Nothing: LSL's buffers are its own."""

    def stop(self) -> None:
        """What has come is still given, then the end."""
        self._is_stopped = True

    def close(self) -> None:
        """Listen no more."""
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            with contextlib.suppress(Exception):
                inlet.close_stream()

    def _found(self) -> Any:
        wanted = {"name": "stream", "type": "stream_type", "source_id": "source_id"}
        said = {key: self._options[option] for key, option in wanted.items() if self._options[option] is not None}
        predicate = " and ".join(f"{key}={_quoted(value)}" for key, value in said.items()) or "name!=''"
        found = pylsl.resolve_bypred(predicate, minimum=1, timeout=self._options["look_for_s"])
        if not found:
            words = ", ".join(f"{key} {value}" for key, value in said.items()) or "of any name"
            raise BoardError(
                "lsl", f"there is no stream ({words})", "start the program that sends it, in the same network"
            )
        return min(found, key=lambda info: (info.name(), info.source_id()))

    def _refuse_what_cannot_be(self, info: Any, task: TaskPlan) -> None:
        if info.channel_format() == pylsl.cf_string or not self._rate_hz:
            raise BoardError(
                "lsl", f"{info.name()} has no sample rate, or texts", "choose a stream of numbers", is_final=True
            )
        absent = [number for number in self._picked if not 0 <= number < info.channel_count()]
        if absent:
            raise BoardError(
                "lsl", f"{info.name()} has {info.channel_count()} channels, and none of number {absent[0]}",
                "name its channels in task.channels, with physical_channel from 0", is_final=True,
            )  # fmt: skip
        if abs(task.rate_hz - self._rate_hz) > 0.01 * self._rate_hz:
            raise BoardError(
                "lsl", f"{info.name()} has {self._rate_hz:g} samples a second, not {task.rate_hz:g}",
                f"set task.rate_hz: {self._rate_hz:g}", is_final=True,
            )  # fmt: skip

    def _pull(self, timeout_s: float) -> None:
        """Take what has come, up to a block of it."""
        wanted = self._n - len(self._held)
        with _told():
            samples, times = self._inlet.pull_chunk(timeout=timeout_s, max_samples=wanted, as_numpy=True)
        if len(times):
            self._sort(samples, times)

    def _sort(self, samples: NDArray[Any], times: NDArray[np.float64]) -> None:
        """Into blocks, and the holes between them that their times tell of."""
        steps_s = np.diff(times, prepend=self._last_s)
        self._last_s = float(times[-1])
        begin = 0
        for hole in np.flatnonzero(steps_s > max(self._options["hole_s"], 2 / self._rate_hz)).tolist():
            self._hold(samples[begin:hole])
            self._give_held()
            n_lost = max(1, round(float(steps_s[hole]) * self._rate_hz) - 1)
            self._events.append(Overrun(Span(self._end, self._end + n_lost)))
            self._end += n_lost
            begin = hole
        self._hold(samples[begin:])

    def _hold(self, samples: NDArray[Any]) -> None:
        self._held = np.concatenate([self._held, samples[:, self._picked].astype(self._dtype)])
        if len(self._held) >= self._n:
            self._give_held()

    def _give_held(self) -> None:
        if len(self._held):
            self._events.append(Taken(self._end, np.ascontiguousarray(self._held.T)))
            self._end += len(self._held)
            self._held = self._held[:0]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What LSL raises, in our words: the board is away."""
    try:
        yield
    except (pylsl.util.LostError, pylsl.util.TimeoutError) as error:
        raise BoardError("lsl", f"{error}", "look at the program that sends the stream, and at the network") from error


def _quoted(value: str) -> str:
    """A text of a query, which has no way to write both kinds of quotes."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def _units(info: Any) -> dict[int, str]:
    """The unit of each channel, where the stream's description says it."""
    found = {}
    channel = info.desc().child("channels").child("channel")
    for number in range(info.channel_count()):
        if channel.empty():
            break
        found[number] = channel.child_value("unit")
        channel = channel.next_sibling("channel")
    return found
