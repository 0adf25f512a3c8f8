"""What the processes of a run, and commands from outside, say to its supervisor."""

from __future__ import annotations

from typing import assert_never

from dtopipe.core.lifecycle import WorkerState
from dtopipe.core.link_clock import LinkPair
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import WireError
from dtopipe.supervisor.acquirer_agent import NAME, AcquirerAgent
from dtopipe.supervisor.answers import Answers
from dtopipe.supervisor.attachments import Attachments
from dtopipe.supervisor.gateway_agent import GatewayAgent
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.limits import Limits
from dtopipe.supervisor.lines import ClockFile
from dtopipe.supervisor.ports import Events, GapLines, Post
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.transport.malformed import Malformed
from dtopipe.wire.commands import ASKED
from dtopipe.wire.control import Message
from dtopipe.wire.messages import (
    FROM_ACQUIRER,
    FROM_GATEWAY,
    FROM_SINK,
    AcquirerSays,
    BoardOpened,
    ClocksCompared,
    Failed,
    GapsCommitted,
    Hello,
    LimitsSeen,
    OutputClosed,
    SinkAway,
    SinkBack,
    SinkDone,
    SinkReady,
    SinkSays,
    SourceAway,
    SourceBack,
    StopBoard,
    StreamEnded,
    TriggerTold,
)

_LONGEST_DETAILS = 500


class Hearing:
    """The address that a message came from tells whose it is; what is malformed is counted, and changes nothing."""

    def __init__(
        self,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        sinks: Sinks,
        gateway: GatewayAgent,
        launcher: Launcher,
        attachments: Attachments,
        limits: Limits,
        answers: Answers,
        gaps: GapLines,
        clock: ClockFile,
        post: Post,
        events: Events,
        malformed: Malformed,
    ) -> None:
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._gateway = gateway
        self._launcher = launcher
        self._attachments = attachments
        self._limits = limits
        self._answers = answers
        self._gaps = gaps
        self._clock = clock
        self._post = post
        self._events = events
        self._malformed = malformed

    def hear(self, address: bytes, message: Message) -> None:
        """One message."""
        try:
            self._dispatch(address, message)
        except WireError as error:
            if self._malformed.note(error):
                self._events.append("malformed_message", details=str(error)[:_LONGEST_DETAILS])

    def _dispatch(self, address: bytes, message: Message) -> None:
        """Raises WireError, having changed nothing."""
        if message.kind in ASKED and (asked := ASKED.read(message)):
            if answer := self._answers.to(asked):
                self._post.send(address, answer)
        elif address == self._gateway.address:
            if of_gateway := FROM_GATEWAY.read(message):
                self._gateway.hear(of_gateway)
        elif address == self._acquirer.address:
            if of_acquirer := FROM_ACQUIRER.read(message):
                self._hear_acquirer(of_acquirer)
        else:
            for agent in self._sinks.workers:
                if address == agent.address and (of_sink := FROM_SINK.read(message)):
                    self._hear_sink(agent, of_sink)

    def _hear_acquirer(self, message: AcquirerSays) -> None:
        agent, phase = self._acquirer, self._progress.phase
        match message:
            case Hello():
                pass
            case BoardOpened():
                agent.board_opened(message)
                if phase is Phase.RUNNING:
                    self._launcher.start_board()
                elif phase is Phase.DRAINING:
                    # It could not be told before: nobody listened yet.
                    self._post.send(agent.address, StopBoard())
            case StreamEnded():
                agent.stream_ended()
            case SourceAway():
                agent.went_away(message.message, self._progress.clock_now())
                self._events.append("away", NAME, why=agent.away)
            case SourceBack():
                agent.came_back()
                self._events.append("back", NAME)
            case ClocksCompared():
                pair = LinkPair(*message.pair)
                agent.compared(pair)
                self._clock.append_link(self._memory.end_sample_index, pair)
            case Failed():
                agent.life.last_words = message
                self._events.append("failed", NAME, message=message.message)
            case _:
                assert_never(message)

    def _hear_sink(self, agent: SinkAgent, message: SinkSays) -> None:
        name = agent.plan.name
        match message:
            case Hello():
                agent.said_hello = True
                self._launcher.begin_sink(agent)
            case SinkReady():
                if agent.state is WorkerState.OPENING:
                    runs = self._progress.phase is not Phase.OPENING
                    agent.became_ready(mono_ns(), message.position, runs=runs)
                    self._events.append("ready", name, committed=message.position.committed)
                    self._attachments.became_ready(agent)
            case LimitsSeen():
                if agent is self._sinks.watcher:
                    self._limits.hear(message)
            case GapsCommitted() if agent is self._sinks.watcher:
                self._limits.hear_gaps(message.gaps)
            case GapsCommitted():
                agent.absence.note(self._gaps.append(name, message.gaps))
                agent.row_count.note(message.gaps)
            case TriggerTold():
                for details in agent.trigger.hear(message) if agent.trigger else ():
                    self._events.append("triggered", name, **details)
            case SinkAway():
                agent.away = message.message
                self._events.append("away", name, why=agent.away, remedy=message.remedy)
            case SinkBack():
                agent.away = ""
                self._events.append("back", name)
            case OutputClosed():
                agent.is_closed = True
                agent.remark = message.remark
            case SinkDone():
                if not agent.state.is_final:
                    agent.became_done(message.position)
                    self._events.append("done", name, committed=message.position.committed)
                    self._attachments.became_done(agent)
            case Failed():
                agent.life.last_words = message
                self._events.append("failed", name, message=message.message)
            case _:
                assert_never(message)
