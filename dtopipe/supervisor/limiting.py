"""Looks who limits the run: reads how every process spends its time, and has the answer for status and record."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dtopipe.core.lifecycle import SinkState
from dtopipe.core.limiting import ACQUIRER, BoardLoad, Limited, Limiter, SinkLoad, limiting
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import iso_utc
from dtopipe.model.policy import Policy
from dtopipe.shm.calls import CallTiming, CallWords
from dtopipe.shm.layout import Call
from dtopipe.shm.ring import Ring, RingStatus
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.board_watch import BoardWatch
from dtopipe.supervisor.process_load import ProcessLoads
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks

_LOOK_EVERY_NS = 250_000_000
_WINDOW_NS = 3_000_000_000
# Of a lag that shrinks by less in a second of the run nobody can say that it is caught up.
_GAIN = 0.05
_LEAST_PATIENCE_S = 2.0
_OF_SERVERS = (Call.APPEND, Call.COMMIT, Call.SYNC)
_TOLD_OF_RECORD = 8


@dataclass(frozen=True, slots=True)
class _Look:
    """What was counted at one moment: time in each call, that of the present one included, and how far it was."""

    at_ns: int
    spent_ns: Mapping[Call, int]
    lag_s: float
    lost: int


@dataclass(slots=True)
class _Track:
    """The looks at one process within the window; `reader`: what its words are of."""

    reader: tuple[int | None, int]
    looks: deque[_Look] = field(default_factory=deque)

    def add(self, look: _Look) -> None:
        while len(self.looks) > 1 and look.at_ns - self.looks[1].at_ns >= _WINDOW_NS:
            self.looks.popleft()
        self.looks.append(look)

    def shares(self) -> dict[Call, float]:
        """The parts of the window that were spent in each call."""
        first, last = self.looks[0], self.looks[-1]
        elapsed_ns = last.at_ns - first.at_ns
        if not elapsed_ns:
            return {}
        spent = {call: (ns - first.spent_ns.get(call, 0)) / elapsed_ns for call, ns in last.spent_ns.items()}
        return {call: share for call, share in spent.items() if share > 0}

    def gains(self) -> bool:
        first, last = self.looks[0], self.looks[-1]
        return first.lag_s - last.lag_s > _GAIN * (last.at_ns - first.at_ns) / 1e9

    def lost(self) -> int:
        return self.looks[-1].lost - self.looks[0].lost


class Limiting:
    """Looks four times a second, whoever asks; nothing of it waits."""

    def __init__(
        self, progress: Progress, memory: RunMemory, acquirer: AcquirerAgent, sinks: Sinks, board_watch: BoardWatch
    ) -> None:
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._board_watch = board_watch
        self._loads = ProcessLoads()
        self._tracks: dict[str, _Track] = {}
        self._held_ns: dict[str, int] = {}
        self._limited = Limited()
        self._looked_ns: int | None = None

    def look(self, now_ns: int) -> None:
        """One turn."""
        ring = self._memory.ring
        if ring is None or self._progress.phase not in (Phase.RUNNING, Phase.DRAINING):
            return
        status = ring.status()
        for agent in self._sinks.workers:
            if agent.row is not None and agent.row in status.waiting_for:
                self._held_ns[agent.plan.name] = now_ns
        if self._looked_ns is not None and now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        self._loads.look({os.getpid(), *self._pids()}, now_ns)
        self._limited.saw(self._limiter(ring, status, now_ns), now_ns)

    def snapshot(self) -> dict[str, Any]:
        """For `status`: `limiter`, null while the run keeps up, and the calls of every process."""
        now = self._limited.now
        return {
            "limiter": None if now is None else self._facts(now[0], now[1]),
            "processor": round(self._loads.share, 3),
            "processes": {name: self._process(name) for name in self._processes()},
        }

    def facts(self) -> list[dict[str, Any]]:
        """For the record: who limited the run and for how long, the last one last."""
        told = self._limited.shares[-_TOLD_OF_RECORD:]
        return [
            {
                **self._facts(share.limiter, share.since_ns),
                "until": self._utc(share.until_ns),
                "for_s": round(share.for_ns / 1e9, 3),
            }
            for share in told
        ]

    def _limiter(self, ring: Ring, status: RingStatus, now_ns: int) -> Limiter | None:
        board = self._board(ring, status, now_ns)
        sinks = [self._sink(agent, ring, status, now_ns) for agent in self._sinks]
        drains = self._progress.phase is Phase.DRAINING and self._memory.has_ended
        return limiting(board, sinks, processor=self._loads.share, drains=drains)

    def _board(self, ring: Ring, status: RingStatus, now_ns: int) -> BoardLoad:
        agent, words = self._acquirer, CallWords.of_acquirer(ring)
        reader = (None, agent.life.generation)
        shares = self._seen(ACQUIRER, reader, words, now_ns, 0.0, status.overrun_samples)
        silent = self._board_watch.silent_since
        trouble = agent.away or agent.stands or (f"no sample since {silent}" if silent else "")
        if self._progress.phase is not Phase.RUNNING or status.waiting_for:
            trouble = ""
        return BoardLoad(
            busy=_named(_work(shares), is_server=False),
            waits=shares.get(Call.WAIT, 0.0),
            trouble=trouble,
            # Where nothing comes, it is in one of these now and then.
            call="wait" if (call := words.read()[0]) in (Call.READ, Call.IDLE) else _word(call, is_server=False),
            can_wait=not agent.is_clocked,
            overruns=self._tracks[ACQUIRER].lost(),
        )

    def _sink(self, agent: SinkAgent, ring: Ring, status: RingStatus, now_ns: int) -> SinkLoad:
        name, plan, stream = agent.plan.name, agent.plan, self._memory.stream
        if agent.row is None or stream is None or agent.state.is_final:
            return SinkLoad(name, is_over=True)
        words = CallWords.of_row(ring, agent.row)
        lag_s = agent.lag_samples(status.end_sample_index, stream.rate_hz) / stream.rate_hz
        reader = (agent.row, agent.life.generation)
        shares = self._seen(name, reader, words, now_ns, lag_s, agent.position.dropped)
        is_server = plan.target is not None
        is_away = agent.condition in (SinkState.HUNG, SinkState.AWAY, SinkState.RESTARTING)
        block_s = stream.samples_per_block / stream.rate_hz
        return SinkLoad(
            name=name,
            busy=_named(_work(shares), is_server=is_server),
            call=_word(words.read()[0], is_server=is_server),
            is_block=plan.policy is Policy.BLOCK,
            lag_s=lag_s,
            patience_s=_LEAST_PATIENCE_S + 2 * (plan.flush_interval_s + block_s),
            gains=self._tracks[name].gains(),
            holds=now_ns - self._held_ns.get(name, -_WINDOW_NS) < _WINDOW_NS,
            drops=self._tracks[name].lost(),
            trouble=(agent.stands or agent.away or agent.condition.value) if is_away else "",
        )

    def _seen(
        self, name: str, reader: tuple[int | None, int], words: CallWords, now_ns: int, lag_s: float, lost: int
    ) -> dict[Call, float]:
        spent = {call: timing.total_ns for call, timing in words.timings().items()}
        call, since_ns = words.read()
        if since_ns:
            spent[call] = spent.get(call, 0) + max(0, mono_ns() - since_ns)
        track = self._tracks.get(name)
        if track is None or track.reader != reader:
            track = self._tracks[name] = _Track(reader)
        track.add(_Look(now_ns, spent, lag_s, lost))
        return track.shares()

    def _processes(self) -> dict[str, int | None]:
        """The pid of each."""
        found: dict[str, int | None] = {ACQUIRER: self._acquirer.process.pid if self._acquirer.process else None}
        return found | {agent.plan.name: agent.process.pid if agent.process else None for agent in self._sinks}

    def _pids(self) -> list[int]:
        watcher = self._sinks.watcher
        pids = [pid for pid in self._processes().values() if pid is not None]
        return [*pids, watcher.process.pid] if watcher is not None and watcher.process is not None else pids

    def _process(self, name: str) -> dict[str, Any]:
        """Where its time goes: shares of the last seconds, and timings of each call since it began, in seconds."""
        ring, track = self._memory.ring, self._tracks.get(name)
        agent = self._sinks.by_name.get(name)
        row = None if agent is None else agent.row
        if ring is None or track is None or (agent is not None and row is None):
            return {"shares": {}, "calls": {}}
        is_server = agent is not None and agent.plan.target is not None
        words = CallWords.of_acquirer(ring) if row is None else CallWords.of_row(ring, row)
        taken = self._loads.of(self._processes()[name])
        return {
            "in": _word(words.read()[0], is_server=is_server),
            "shares": {call: round(share, 4) for call, share in _named(track.shares(), is_server=False).items()},
            "calls": {_word(call, is_server=False): _timing(timing) for call, timing in words.timings().items()},
            **({"cpu": round(taken.cpu, 3), "memory_bytes": taken.memory_bytes} if taken else {}),
        }

    def _facts(self, limiter: Limiter, since_ns: int) -> dict[str, Any]:
        return {
            "process": limiter.process,
            "call": limiter.call,
            "how": limiter.how.value,
            "since": self._utc(since_ns),
            **({"trouble": limiter.trouble} if limiter.trouble else {}),
            **({"slowest": limiter.slowest} if limiter.slowest else {}),
        }

    def _utc(self, t_mono_ns: int) -> str:
        return f"{iso_utc(self._progress.times.utc_ns(t_mono_ns))[:19]}Z"


def _word(call: Call, *, is_server: bool) -> str:
    """The call in words of users; what a sink with a server does to its output is its network."""
    if is_server and call in _OF_SERVERS:
        return "network"
    return "write" if call is Call.APPEND else call.name.lower()


def _named(shares: Mapping[Call, float], *, is_server: bool) -> dict[str, float]:
    """Shares by word."""
    named: dict[str, float] = {}
    for call, share in shares.items():
        word = _word(call, is_server=is_server)
        named[word] = named.get(word, 0.0) + share
    return named


def _work(shares: Mapping[Call, float]) -> dict[Call, float]:
    """What waits for blocks, or for a slot, does not work."""
    return {call: share for call, share in shares.items() if call not in (Call.IDLE, Call.WAIT)}


def _timing(timing: CallTiming) -> dict[str, Any]:
    return {
        "count": timing.count,
        "last_s": timing.last_ns / 1e9,
        "mean_s": timing.total_ns / timing.count / 1e9,
        "max_s": timing.max_ns / 1e9,
    }
