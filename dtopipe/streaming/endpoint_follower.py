"""Reads the run of another machine block by block, for one program; that machine does not notice how it gets on."""

from __future__ import annotations

import platform
import sys
import threading
import uuid
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dtopipe.boards.registry import following_type
from dtopipe.core.link_clock import LinkPair
from dtopipe.host import wall_clock
from dtopipe.intake.joining import JoinedBoard, joined_board
from dtopipe.model.board_events import Ended, Opened, Overrun, Taken
from dtopipe.model.clock import Anchor, utc_ns
from dtopipe.model.daq import DaqBlock
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Stream
from dtopipe.streaming.blocks import BlockMaker
from dtopipe.streaming.subscription import SubscriptionSummary
from dtopipe.streaming.wanted import Wanted
from dtopipe.topology.followed import followed_options
from dtopipe.transport.source_link import server_key_of

_TURN_S = 0.05
# What the program has not asked for yet, and is here already.
_AHEAD_BLOCKS = 64
_AHEAD_BYTES = 4 * 2**20
_LEAVE_PATIENCE_S = 5.0


class EndpointFollower:
    """As `Follower` is for a run of this machine. A thread of its own keeps the link, whatever the program does."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._own_cause = Cause.TRANSPORT if wanted.policy_word is Policy.BLOCK else Cause.POLICY_DROP
        self.summary = SubscriptionSummary(datetime.now(UTC))
        self.is_over = False
        # Nothing is noted of a run from another machine.
        self.beside = None
        self._changed = threading.Condition()
        self._coming: deque[Taken | Overrun] = deque()
        self._failure: Exception | None = None
        self._has_ended = self._is_leaving = False
        self._opened: Opened | None = None
        self._thread: threading.Thread | None = None
        self._held_samples = 0
        self._done_with = 0
        self._number = 0

    def join(self) -> bool:
        """Look for the run; False while there is none. Raises DtopipeError where there will never be one for us."""
        if self._thread is None:
            label = f"{platform.node()}/{Path(sys.argv[0] if sys.argv else '').name or 'python'}"
            board = joined_board({**self._options(), "label": label}, self, str(uuid.uuid4()))
            self._thread = threading.Thread(target=self._keep, args=(board,), name="link", daemon=True)
            self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._failure, _TURN_S)
            if self._failure is not None:
                raise self._failure
            return self._opened is not None and self._begin(self._opened)

    def take_now(self) -> DaqBlock | None:
        """The next block, if it is there: who asks is done with the one before. Raises what the link met."""
        with self._changed:
            self._commit()
            gaps: list[Gap] = []
            while self._coming:
                event = self._coming.popleft()
                self._changed.notify_all()
                if isinstance(event, Taken):
                    return self._handed_over(event, (*self._gaps_before, *gaps))
                gaps.append(self._gap(event))
                self.summary.note_gaps(gaps[-1:], self._own_cause)
                self._done_with = event.span.stop
            self._gaps_before += gaps
            if self._failure is not None:
                self._end()
                raise self._failure
            if self._has_ended:
                self._end()
            return None

    def wait(self) -> None:
        """Until `take_now` has something to give, or it is over, or somebody leaves."""
        with self._changed:
            self._changed.wait_for(lambda: self._coming or self._failure or self._has_ended or self._is_leaving)

    def leave(self) -> None:
        """End the link. Harmless twice."""
        with self._changed:
            self._is_leaving = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_LEAVE_PATIENCE_S)
        self._end()

    # What the board tells us, in its thread.

    def away(self, why: str) -> None:
        """It goes on by itself."""

    def back(self) -> None:
        """Nothing to do."""

    def is_wanted(self) -> bool:
        """False once somebody has left."""
        return not self._is_leaving

    def compared(self, pair: LinkPair) -> None:
        """The clocks of both machines at one instant: the newest is kept."""
        self.summary.extra["link"] = {
            "offset_ns": pair.offset_ns,
            "mono_offset_ns": pair.mono_offset_ns,
            "uncertainty_ns": pair.uncertainty_ns,
        }

    def _options(self) -> dict[str, Any]:
        wanted, endpoint = self._wanted, str(self._wanted.run)
        given = {**wanted.options, "endpoint": endpoint, "start": wanted.since}
        if following_type(endpoint).links:
            key = server_key_of(endpoint, wanted.server_key, insecure=wanted.insecure)
            given |= {"insecure": True} if key is None else {"server_key": str(key)}
            given["policy"] = "block" if wanted.policy_word is Policy.BLOCK else "drop"
        return followed_options(given)

    def _begin(self, opened: Opened) -> bool:
        self.run = Stream(
            run_id=opened.run_id,
            task=str(dict(opened.metadata.get("source", {})).get("task", "")),
            device=opened.device,
            channels=opened.channels,
            dtype=opened.dtype,
            rate_hz=opened.rate_hz,
            samples_per_block=opened.samples_per_block,
            started_at=opened.started_at,
            metadata=opened.metadata,
            simulated=opened.simulated,
            polled=opened.polled,
        )
        self._blocks = BlockMaker(self.run.task, self.run.device, self.run.channels, self.run.rate_hz)
        self._anchor = opened.anchor or Anchor(0, 0, 0)
        self._started_ns = utc_ns(self.run.started_at)
        self._gaps_before: list[Gap] = []
        self.summary.start = self._done_with = opened.first_sample_index
        return True

    def _handed_over(self, taken: Taken, gaps: tuple[Gap, ...]) -> DaqBlock:
        self._anchor = taken.anchor or self._anchor
        codes = taken.codes
        codes.flags.writeable = False
        block = self._blocks.block(
            self._number,
            taken.first_sample_index,
            codes,
            taken.sensor_status,
            self._anchor,
            started_ns=self._started_ns,
            read_started_ns=wall_clock.utc_ns(),
            gaps_before=gaps,
        )
        self._gaps_before = []
        self._number += 1
        self._held_samples = codes.shape[1]
        self.summary.payloads_emitted += 1
        return block

    def _commit(self) -> None:
        """The program is done with the block before."""
        if self._held_samples:
            self.summary.samples += self._held_samples
            self._held_samples = 0
            self._done_with = self.summary.position().committed

    def _gap(self, event: Overrun) -> Gap:
        at = event.span.start
        t_utc_ns = self._blocks.utc_ns(at, self._anchor) if event.t_utc_ns is None else event.t_utc_ns
        return Gap(event.span, event.cause, t_utc_ns)

    def _end(self) -> None:
        self.is_over = True
        self.summary.finished_at = self.summary.finished_at or datetime.now(UTC)

    def _keep(self, board: JoinedBoard) -> None:
        """The thread: what comes is laid ready, as much as the program may be behind."""
        try:
            opened = board.open()
            with self._changed:
                self._opened = opened
                self._changed.notify_all()
            board.start(opened.first_sample_index)
            block_bytes = len(opened.channels) * opened.samples_per_block * 2
            most = max(1, min(_AHEAD_BLOCKS, _AHEAD_BYTES // max(1, block_bytes)))
            while not (self._is_leaving or self._has_ended):
                self._lay_ready(board, board.read(_TURN_S), most)
            self._say_goodbye(board)
        except Exception as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            board.close()

    def _lay_ready(self, board: JoinedBoard, event: Taken | Overrun | Ended | None, most: int) -> None:
        with self._changed:
            board.acknowledge(self._done_with)
            if isinstance(event, Ended):
                self._has_ended = True
            elif event is not None:
                self._coming.append(event)
            self._changed.notify_all()
            while len(self._coming) >= most and not self._is_leaving:
                self._changed.wait(_TURN_S)
                board.acknowledge(self._done_with)
                board.keep_alive()

    def _say_goodbye(self, board: JoinedBoard) -> None:
        """Once the program is done with everything the other machine need not wait any longer."""
        while not (self._is_leaving or self.is_over):
            with self._changed:
                self._changed.wait(_TURN_S)
                board.acknowledge(self._done_with)
            board.keep_alive()
        if self._has_ended and not self._coming:
            board.acknowledge(self._done_with)
            board.finish()
        else:
            board.leave()
