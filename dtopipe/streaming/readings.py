"""Single values, read when a program asks for them."""

from __future__ import annotations

import numpy as np

from dtopipe.boards.contract import Board
from dtopipe.host.clock import RunTimes, mono_ns
from dtopipe.model.board_events import Opened, Taken
from dtopipe.model.daq import DaqReading
from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.stream import SensorStatus
from dtopipe.model.task_spec import TaskSpec
from dtopipe.streaming.blocks import moment

# Of a simulated board, whose time goes on by one sample a poll.
_RATE_HZ = 1000.0
_READ_TIMEOUT_S = 0.1
_PATIENCE_S = 10.0


def polled_task(spec: TaskSpec) -> TaskPlan:
    """The task of a board that is asked for one sample at a time."""
    return TaskPlan(spec.name, _RATE_HZ, 1, tuple(channel.plan() for channel in spec.channels))


class Poller:
    """Asks a board for one sample of every channel."""

    def __init__(self, task: str, board: Board, opened: Opened) -> None:
        self._task = task
        self._board = board
        self._opened = opened
        self._values = EngineeringValues(opened.channels)
        self._has_begun = False
        self._known_times: RunTimes | None = None

    def poll(self) -> DaqReading:
        """The values of now; called in the board's thread. Raises BoardError."""
        if not self._has_begun:
            self._board.start(0)
            self._has_begun = True
        requested_mono_ns = mono_ns()
        taken = self._next_sample(requested_mono_ns)
        received_mono_ns = mono_ns()
        # A wall clock that is set meanwhile must not take one reading before another.
        requested_utc_ns, received_utc_ns = map(self._times.utc_ns, (requested_mono_ns, received_mono_ns))
        names = [channel.name for channel in self._opened.channels]
        status = taken.sensor_status
        return DaqReading(
            device=self._opened.device,
            task=self._task,
            values=dict(zip(names, self._values(taken.codes, status)[:, 0].tolist(), strict=True)),
            units={channel.name: channel.unit or None for channel in self._opened.channels},
            requested_at=moment(requested_utc_ns),
            received_at=moment(received_utc_ns),
            t_utc=moment((requested_utc_ns + received_utc_ns) // 2),
            t_mono_ns=requested_mono_ns,
            latency_s=(received_mono_ns - requested_mono_ns) / 1e9,
            sensor_status={}
            if status is None
            else {name: SensorStatus(int(of)) for name, of in zip(names, status[:, 0], strict=True) if of},
        )

    def error_reading(self, error: BaseException) -> DaqReading:
        """A reading of nothing, now, with the reason."""
        t_mono_ns = mono_ns()
        now = moment(self._times.utc_ns(t_mono_ns))
        return DaqReading(
            device=self._opened.device,
            task=self._task,
            requested_at=now,
            received_at=now,
            t_utc=now,
            t_mono_ns=t_mono_ns,
            latency_s=0.0,
            error=error,
        )

    @property
    def _times(self) -> RunTimes:
        """The same for all of its readings, from the first one on."""
        if self._known_times is None:
            self._known_times = RunTimes()
        return self._known_times

    def _next_sample(self, since_ns: int) -> Taken:
        while True:
            event = self._board.read(_READ_TIMEOUT_S)
            if isinstance(event, Taken):
                codes, status = np.array(event.codes), event.sensor_status
                own = Taken(event.first_sample_index, codes, None if status is None else np.array(status))
                self._board.give_back()
                return own
            if event is None and mono_ns() - since_ns > _PATIENCE_S * 1e9:
                raise BoardError(self._opened.device, f"no reading within {_PATIENCE_S:g} s", "look at its connection")
