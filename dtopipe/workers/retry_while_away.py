"""Waiting for an output that is away: a server that restarts, a full disk, a lock that another program holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import SinkUnavailable
from dtopipe.shm.calls import CallWords
from dtopipe.shm.layout import Call
from dtopipe.wire.messages import TO_SINK, CutOff, DetachNow, LetGo, SinkAway, SinkBack
from dtopipe.wire.orders import SinkOrders
from dtopipe.workers.process import Worker

_T = TypeVar("_T")
_LISTEN_EVERY_NS = 20_000_000
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 0.5


class RetryWhileAway:
    """Does things again until they succeed, and hears meanwhile whether it shall give up; the supervisor is told."""

    def __init__(self, worker: Worker[SinkOrders], calls: CallWords) -> None:
        self._worker = worker
        self._calls = calls
        self._listened_ns = 0
        self._limit_s = worker.orders.drain_limit_s
        self.is_cut_off = False
        # Told to end without completing the output: a successor goes on with it.
        self.lets_go = False
        # Told to complete the output with what is published now, while the run goes on.
        self.is_detached = False

    def with_it(self, call: Call, work: Callable[[], _T]) -> _T:
        """The result of `work()`, which is this call, tried again while the output is away.

        Raises SinkUnavailable once it is cut off.
        Left alone by its supervisor, a worker waits as long as the end of a run may.
        """
        pause_s, since_ns = _FIRST_PAUSE_S, 0
        while True:
            self._calls.enter(call)
            try:
                result = work()
            except SinkUnavailable as error:
                if not since_ns:
                    since_ns = mono_ns()
                    self._say_away(error)
                left_alone = self._worker.orphaned.is_set() and mono_ns() - since_ns > self._limit_s * 1e9
                if self.is_cut_off or left_alone:
                    raise
                self._calls.enter(Call.WAIT)
                self.listen(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                if since_ns:
                    logging.info("back after %.1f s", (mono_ns() - since_ns) / 1e9)
                    self._worker.control.send(SinkBack())
                return result

    def listen(self, timeout_s: float = 0.0) -> None:
        """Hear what the supervisor says, waiting for it if told to; without that, at most every 20 ms."""
        now_ns = mono_ns()
        if not timeout_s and now_ns - self._listened_ns < _LISTEN_EVERY_NS:
            return
        self._listened_ns = now_ns
        message = self._worker.control.receive(TO_SINK, timeout_s)
        if isinstance(message, CutOff):
            logging.warning("cut off: %s", message.reason)
            self.is_cut_off = True
        elif isinstance(message, LetGo):
            logging.info("told to let go of the output")
            self.is_cut_off = self.lets_go = True
        elif isinstance(message, DetachNow):
            self.is_detached = True

    def _say_away(self, error: SinkUnavailable) -> None:
        logging.warning("away: %s", error)
        self._worker.control.send(SinkAway(error.message, error.remedy))
