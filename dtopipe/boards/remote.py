"""The remote board: the run of another machine, followed from any sample on."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from dtopipe.boards.contract import Ended, Link, Opened, Overrun, Poll, Surroundings, Taken
from dtopipe.boards.remote_stream import BOARD, refusal_of_stream, window_of
from dtopipe.core.link import FollowingEnd, Step
from dtopipe.core.link_clock import LinkClock
from dtopipe.host.clock import clock_pair, mono_ns
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import BoardError, WireError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.wire.control import Message
from dtopipe.wire.link_items import LINK_CAUSES, MOST_GAPS_TOLD, PROTOCOL_VERSION, decode_items
from dtopipe.wire.link_messages import (
    TO_REMOTE,
    Bye,
    ClockAnswer,
    Credit,
    Finished,
    GatewayAnswers,
    Items,
    Leave,
    LinkRefused,
    Probe,
    Pull,
    StreamBegins,
    StreamEnds,
)

_TURN_S = 0.05
_FAREWELLS, _FAREWELL_NS = 6, 500_000_000


class RemoteBoard:
    """Blocks, gaps, times and run id are those of the other machine's run; it waits for its reader.

    Options: `endpoint`; `start`: earliest, latest or a sample index; `policy`: block, or drop for one that may be
    passed over; `runs`: next, every, or a run's id; `followed`: ids of runs that are not wanted any more; `label`: what
    the other side may call us; `waits`: false where another run there is as good as none.

    Whatever breaks, the stream is asked for anew behind the last sample that was taken, so that each comes once. Every
    such request has a number of its own, its session; what belongs to an older one is thrown away.
    """

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None = None) -> None:
        self._endpoint = str(options.get("endpoint", ""))
        self._since: str | int = options.get("start", "earliest")
        self._drops = options.get("policy", "block") == "drop"
        self._skipped = list(options.get("followed", ()))
        self._label = str(options.get("label", ""))
        runs = options.get("runs", "next")
        self._chosen_run = "" if runs in ("next", "every") else str(runs)
        self._may_wait = bool(options.get("waits", True))
        self._clock = LinkClock()
        self._link: Link | None = None
        self._stream: Stream | None = None
        self._items: deque[Block | Gap | Ended] = deque()
        # Of causes that are the link's: the other side has them on record too. The newest, as many as a request holds.
        self._link_gaps: deque[Gap] = deque(maxlen=MOST_GAPS_TOLD)
        self._untold: deque[Gap] = deque(maxlen=MOST_GAPS_TOLD)
        self._anchor = Anchor(0, 0, 0)
        self._end = FollowingEnd()
        self._at = self._durable = 0
        self._stopped = self._has_ended = self._is_away = self._is_to_begin = False

    def take_link(self, link: Link, surroundings: Surroundings, remote_id: str, run_id: str) -> None:
        """As LinkedBoard has it."""
        self._link = link
        self._surroundings = surroundings
        self._remote_id = remote_id
        self._run_id = run_id or self._chosen_run
        # A successor goes on where the ring ends, which it is told when it is started.
        self._resumes = bool(run_id)
        self._is_to_begin = not run_id
        if self._resumes:
            self._since = 0

    def recall(self, gaps: Sequence[Gap]) -> None:
        """What a predecessor has lost on the way, which it may not have told."""
        self._link_gaps.extend(gap for gap in gaps if gap.cause in LINK_CAUSES)

    def open(self) -> Opened:
        """Wait for the other machine's run. Raises BoardError if it will never take us, or we are not wanted."""
        link = self._linked()
        self._begin()
        while True:
            if not self._surroundings.is_wanted():
                raise BoardError(BOARD, f"there was no run at {self._endpoint} until the end", "start it there first")
            received = self._received(link, _TURN_S)
            if received is not None and isinstance(received[0], StreamBegins):
                message = received[0]
                break
            self._look_after(link)
            self._give_credit_if_due(link)
        self._goes_on()
        stream = self._stream = self._checked(message)
        self._run_id = stream.run_id
        self._resumes = True
        self._end.window = window_of(stream, drops=self._drops)
        return Opened(
            device=stream.device,
            channels=stream.channels,
            dtype=stream.dtype,
            rate_hz=stream.rate_hz,
            samples_per_block=stream.samples_per_block,
            clocked=False,
            resumable=True,
            simulated=stream.simulated,
            metadata={**stream.metadata, "source": {"endpoint": self._endpoint, "task": stream.task}},
            run_id=stream.run_id,
            started_at=stream.started_at,
            anchor=self._anchor,
            polled=stream.polled,
            first_sample_index=message.start,
            end_sample_index=message.end,
            virtual=stream.virtual,
        )

    def start(self, at: int) -> None:
        """Ask for everything from this index on."""
        self._since = self._at = at
        self._is_to_begin = False
        self._begin()

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next block, gap or end, or None if there is none in time. Raises BoardError if there will be none."""
        if self._items:
            return self._taken(self._items.popleft())
        if self._stopped or self._has_ended:
            return Ended(self._at)
        link = self._linked()
        received = self._received(link, timeout_s)
        if received is not None:
            self._follow(*received)
        if not self._items:
            self._look_after(link)
        self._give_credit_if_due(link)
        return self._taken(self._items.popleft()) if self._items else None

    def give_back(self) -> None:
        """Nothing: each block has memory of its own. Credit goes out as blocks are taken."""

    def keep_alive(self) -> None:
        """Say that we are here, where nothing is read for a while."""
        self._give_credit_if_due(self._linked())

    def acknowledge(self, sample_index: int) -> None:
        """Everything before this index is durable here."""
        self._durable = max(self._durable, sample_index)
        # Behind the end, and while the ring is full, nobody reads; and who falls silent is taken for dead.
        if not self._is_to_begin:
            self._give_credit_if_due(self._linked())

    def finish(self) -> None:
        """Everything is here for good: the other machine need not wait any longer. It is told until it has heard it."""
        link = self._linked()
        if self._drops:
            # Nobody there waits for us.
            return
        for _ in range(_FAREWELLS):
            link.send(Finished(*self._who(), self._durable, self._gaps_again()))
            with contextlib.suppress(WireError):
                until_ns = mono_ns() + _FAREWELL_NS
                while mono_ns() < until_ns:
                    received = link.receive(_TURN_S)
                    if received is not None and isinstance(TO_REMOTE.read(received[0]), Bye):
                        return
            link.renew()

    def stop(self) -> None:
        """Want no more than what is here already."""
        if not (self._stopped or self._has_ended) and self._link is not None:
            self._stopped = True
            self.leave()

    def leave(self) -> None:
        """The other machine is told not to wait for us any longer."""
        self._linked().send(Leave(*self._who()))

    def close(self) -> None:
        """Close the link; nobody there is to wait for a run that did not begin."""
        if self._link is not None:
            if self._is_to_begin:
                self.leave()
            self._link.close()

    def _linked(self) -> Link:
        if self._link is None:
            raise BoardError(BOARD, "it is used without a link")
        return self._link

    def _begin(self) -> None:
        """Ask for the stream behind what was taken, on a new connection."""
        self._linked().renew()
        self._end.renew(mono_ns())
        self._ask()

    def _ask(self) -> None:
        """It asks for the stream in a new session."""
        session = self._end.ask(mono_ns())
        self._items.clear()
        if self._stream is not None:
            self._since = self._at
        pull = Pull(
            session=session,
            remote=self._remote_id,
            version=PROTOCOL_VERSION,
            label=self._label,
            run_id=self._run_id,
            skip=tuple(self._skipped),
            may_wait=self._may_wait and self._stream is None and not self._resumes,
            since=self._since,
            resumes=self._resumes,
            drops=self._drops,
            window=self._end.window,
            durable=self._durable,
            gaps=self._gaps_again(),
        )
        self._linked().send(pull)

    def _received(self, link: Link, timeout_s: float) -> tuple[GatewayAnswers, bytes | memoryview] | None:
        """The next message of this session. Raises BoardError if the other end refuses."""
        received = None
        try:
            received = link.receive(timeout_s)
            message = None if received is None else TO_REMOTE.read(received[0])
        except WireError as error:
            if received is not None and self._is_stream(received[0]):
                raise BoardError(BOARD, f"{self._endpoint} does not speak as it should: {error}") from error
            self._spoilt(error)
            return None
        if received is None or message is None or not self._end.hears(message.session, mono_ns()):
            return None
        if isinstance(message, LinkRefused):
            self._was_refused(message)
            return None
        return message, received[1]

    def _is_stream(self, message: Message) -> bool:
        """True of the answer to what was asked for last, whatever else is in it."""
        return message.kind == StreamBegins.kind and message.body.get("session") == self._end.session

    def _was_refused(self, message: LinkRefused) -> None:
        """Wait where that helps. Raises BoardError where it does not."""
        if message.is_final or (self._stream is not None and self._end.window):
            raise BoardError(BOARD, f"{self._endpoint}: {message.message}", message.remedy, is_final=True)
        self._stands(message.message)

    def _look_after(self, link: Link) -> None:
        """Begin anew where the link is broken, or the other end has fallen silent."""
        refusal = link.refusal(was_linked=self._stream is not None)
        if refusal is not None:
            raise BoardError(BOARD, f"{self._endpoint}: {refusal[0]}", refusal[1], is_final=True)
        step = self._end.next_step(
            mono_ns(), is_connected=link.is_connected, was_cut=link.was_cut,
            is_told_to_wait=self._is_away and self._stream is None,
        )  # fmt: skip
        if step is Step.RENEW_CUT:
            self._stands("the connection was cut")
            self._begin()
        elif step is Step.RENEW_SILENT:
            self._stands("nobody answers there")
            self._begin()
        elif step is Step.ASK:
            self._ask()

    def _give_credit_if_due(self, link: Link) -> None:
        """Often enough that the other end never waits for it, and hears that we are there."""
        now_ns = mono_ns()
        asked_ns = self._clock.question(now_ns) if link.is_connected and self._stream is not None else None
        if asked_ns is not None:
            link.send(Probe(*self._who(), asked_ns))
        if not self._end.credit_due(now_ns):
            return
        gaps = tuple(self._untold)
        self._untold.clear()
        link.send(Credit(*self._who(), self._end.consumed, self._durable, gaps))

    def _gaps_again(self) -> tuple[Gap, ...]:
        """What this link has lost: said again, for what was said before may have been lost with it."""
        self._untold.clear()
        return tuple(self._link_gaps)

    def _who(self) -> tuple[int, str]:
        """The fields with which every request begins."""
        return self._end.session, self._remote_id

    def _follow(self, message: GatewayAnswers, payload: bytes | memoryview) -> None:
        try:
            if isinstance(message, StreamBegins):
                self._checked(message)
                self._goes_on()
            elif isinstance(message, ClockAnswer):
                self._compare_clocks(message)
            elif isinstance(message, (Items, StreamEnds)):
                self._end.in_order(message.first)
                self._goes_on()
                if isinstance(message, StreamEnds):
                    self._items.append(Ended(message.end_sample_index, is_of_source=True))
                else:
                    self._take_in(payload)
        except WireError as error:
            self._spoilt(error)

    def _compare_clocks(self, message: ClockAnswer) -> None:
        now_ns, now_utc_ns = clock_pair()
        pair = self._clock.answered(message.asked, message.t_mono_ns, message.t_utc_ns, now_ns, now_utc_ns)
        if pair is not None:
            self._surroundings.compared(pair)

    def _take_in(self, payload: bytes | memoryview) -> None:
        stream = self._stream
        if stream is not None:
            items = decode_items(payload, len(stream.channels), stream.dtype, stream.samples_per_block)
            self._end.came(len(items))
            self._items += items

    def _spoilt(self, error: WireError) -> None:
        logging.warning("from %s: %s; asked for anew", self._endpoint, error)
        if self._end.spoilt():
            raise BoardError(
                BOARD,
                f"{self._endpoint} does not speak as it should: {error}",
                "install the same version",
                is_final=True,
            )
        self._begin()

    def _taken(self, item: Block | Gap | Ended) -> Taken | Overrun | Ended | None:
        if isinstance(item, Ended):
            self._has_ended = True
            return item
        if isinstance(item, Block) and item.first_sample_index > self._at:
            # Never sent by a gateway of ours: a hole that nobody explains is one all the same.
            hole = Span(self._at, item.first_sample_index)
            self._items.appendleft(item)
            self._at = hole.stop
            return self._as_overrun(Gap(hole, Cause.TRANSPORT, self._t_utc_ns(hole.start)))
        self._end.consume()
        if isinstance(item, Block) and item.first_sample_index == self._at:
            self._at += item.n_samples
            return self._as_taken(item)
        span = Span(max(item.span.start, self._at), item.span.stop)
        if not span:
            return None
        self._at = span.stop
        if isinstance(item, Gap):
            return self._as_overrun(item if span == item.span else Gap(span, item.cause, self._t_utc_ns(span.start)))
        return self._as_taken(item.trimmed(span.start))

    def _as_overrun(self, gap: Gap) -> Overrun:
        if gap.cause in LINK_CAUSES:
            self._link_gaps.append(gap)
            self._untold.append(gap)
        return Overrun(gap.span, gap.cause, gap.t_utc_ns)

    def _t_utc_ns(self, index: int) -> int:
        """When this sample was taken, by the newest anchor that came."""
        anchor, stream = self._anchor, self._stream
        offset_ns = stream.clock.offset_ns(index - anchor.sample_index) if stream is not None else 0
        return anchor.t_utc_ns + offset_ns

    def _as_taken(self, block: Block) -> Taken:
        self._anchor = block.anchor
        poll = None
        if self._stream is not None and self._stream.polled:
            poll = Poll(block.anchor.t_mono_ns, block.anchor.t_mono_ns + block.latency_ns)
        return Taken(block.first_sample_index, block.codes, block.sensor_status, poll, block.anchor)

    def _checked(self, message: StreamBegins) -> Stream:
        """The stream that the other end has. Raises BoardError if it is not the one that is followed."""
        self._anchor = message.anchor
        if refusal := refusal_of_stream(message, self._endpoint, self._run_id):
            raise refusal
        return message.stream

    def _stands(self, why: str) -> None:
        if not self._is_away:
            self._is_away = True
            self._surroundings.away(f"{self._endpoint}: {why}")

    def _goes_on(self) -> None:
        if self._is_away:
            self._is_away = False
            self._surroundings.back()
