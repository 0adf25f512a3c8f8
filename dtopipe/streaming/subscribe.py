"""Follows a run in progress from any program of the same user, without being able to disturb it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint

from dtopipe.model.daq import DaqBlock
from dtopipe.streaming.endpoint_follower import EndpointFollower
from dtopipe.streaming.follower import Follower
from dtopipe.streaming.subscription import Subscription
from dtopipe.streaming.wanted import Wanted

ASKS_EVERY_S = 0.05
RUNS = Path("runs")
AnyFollower = Follower | EndpointFollower


def follower_of(
    run: str | os.PathLike[str] | None,
    policy: str,
    start: str | int,
    copy: bool,
    run_dir: str | os.PathLike[str],
    server_key: str | os.PathLike[str] | None,
    insecure: bool,
    options: Mapping[str, Any] | None = None,
) -> AnyFollower:
    """A reader of the run that is meant, here or on another machine. Raises SpecError."""
    key = None if server_key is None else Path(server_key)
    wanted = Wanted(run, policy, start, copy, Path(run_dir), key, insecure, dict(options or {}))
    return EndpointFollower(wanted) if wanted.is_remote else Follower(wanted)


class FollowedStream(ObjectReceiveStream[DaqBlock]):
    """The blocks of a run, in order; it ends with the run."""

    def __init__(self, follower: AnyFollower) -> None:
        self._follower = follower
        # One of its own: programs that follow many runs would wait for each other's threads.
        self._limiter = CapacityLimiter(1)

    async def receive(self) -> DaqBlock:
        """The next block. Raises EndOfStream at the run's end, RunDied if it was killed."""
        await checkpoint()
        while (block := self._follower.take_now()) is None:
            if self._follower.is_over:
                raise anyio.EndOfStream
            await to_thread.run_sync(self._follower.wait, abandon_on_cancel=True, limiter=self._limiter)
        return block

    async def aclose(self) -> None:
        """Leave the run. Harmless twice."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._follower.leave, limiter=CapacityLimiter(1))


@asynccontextmanager
async def subscribe(
    run: str | os.PathLike[str] | None = None,
    *,
    policy: str = "drop",
    start: str | int = "latest",
    copy: bool = True,
    run_dir: str | os.PathLike[str] = RUNS,
    server_key: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    options: Mapping[str, Any] | None = None,
) -> AsyncIterator[Subscription[FollowedStream]]:
    """A run in progress, read along; `recording.stream` yields its blocks, as `record()` does.

    `run`: a run folder, `name`, `name/<start>` or `name/latest`; without it, the only run in progress; or the endpoint
    at which another machine serves its run, such as `tcp://daq-pc:5700`, which is waited for, or of NATS servers that
    it is published to, such as `nats://server:4222`. `options`: other keys of the board `jetstream` then, such as
    `{"run_name": "heat-flux", "credentials": "/home/lab/office.creds"}`. `start`: `latest` (from
    now on), `earliest` (all that is there), or a sample index. A run that is only beginning is waited for.

    `server_key`: the .pub file of that machine, by default the authorized key that is named like its host;
    `insecure=True`: without keys, where the other side says so too.

    `policy="drop"`: who is overtaken by a whole ring goes on half a ring behind the newest block; a gap of cause
    `policy_drop`. `policy="block"`: what the ring has no more is read from the run's journal, however late; a run
    without a journal is never held up either, and what is overtaken is a gap of cause `transport`.
    `recording.gaps`, `block.gaps_before` and `recording.summary` say what is absent, and why.

    `block.raw_codes` cannot be written to. With BLOCK in a run without a journal, and with `copy=False`, it is a view
    into the ring, good until the next block is asked for, unless this program is slower than the ring is long:
    `block.still_valid()` tells. Asking for the next block says that this one is done with; a view that was
    overwritten before that is a gap. Everything else in a block is its own.

    Nothing that this program does, or leaves undone, holds the run. Raises UsageError if there is no such run, if it is
    ending, or has as many readers as it can hold; SpecError; RunDied, from the stream, if every process of the run was
    killed; BoardError, if another machine will never take us, or what it serves is another run by now.
    """
    follower = follower_of(run, policy, start, copy, run_dir, server_key, insecure, options)
    stream = FollowedStream(follower)
    try:
        while not await to_thread.run_sync(follower.join):  # noqa: ASYNC110  (another process is asked)
            await anyio.sleep(ASKS_EVERY_S)
        yield Subscription(stream, follower.summary, follower.run, follower.beside)
    finally:
        await stream.aclose()
