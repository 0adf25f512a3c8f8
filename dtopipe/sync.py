"""`subscribe()` for programs and notebooks without an event loop; what needs none anyway is here too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dtopipe.model.daq import DaqBlock
from dtopipe.streaming.run_in_progress import RunInProgress, mark, run_in_progress
from dtopipe.streaming.subscribe import ASKS_EVERY_S, RUNS, AnyFollower, follower_of
from dtopipe.streaming.subscription import Subscription

__all__ = ["RunInProgress", "mark", "run_in_progress", "subscribe"]


class BlockIterator(Iterator[DaqBlock]):
    """The blocks of a run, in order; it ends with the run."""

    def __init__(self, follower: AnyFollower) -> None:
        self._follower = follower

    def __next__(self) -> DaqBlock:
        """The next block. Raises RunDied if the run was killed."""
        while (block := self._follower.take_now()) is None:
            if self._follower.is_over:
                raise StopIteration
            self._follower.wait()
        return block


@contextmanager
def subscribe(
    run: str | os.PathLike[str] | None = None,
    *,
    policy: str = "drop",
    start: str | int = "latest",
    copy: bool = True,
    run_dir: str | os.PathLike[str] = RUNS,
    server_key: str | os.PathLike[str] | None = None,
    insecure: bool = False,
) -> Iterator[Subscription[BlockIterator]]:
    """The same as `dtopipe.subscribe`: `for block in recording.stream`. Ctrl-C is heard at any time."""
    follower = follower_of(run, policy, start, copy, run_dir, server_key, insecure)
    try:
        while not follower.join():
            time.sleep(ASKS_EVERY_S)
        yield Subscription(BlockIterator(follower), follower.summary, follower.run, follower.beside)
    finally:
        follower.leave()
