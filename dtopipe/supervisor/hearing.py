"""What the processes of a run, and commands from outside, say to its supervisor."""

from __future__ import annotations

from typing import assert_never

from dtopipe.core.lifecycle import WorkerEvent, WorkerState, can_happen
from dtopipe.core.link_clock import LinkPair
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import WireError
from dtopipe.model.position import Position
from dtopipe.supervisor.answers import Answers
from dtopipe.supervisor.attachments import Attachments
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.run import Phase, Run
from dtopipe.supervisor.sink_agent import SinkAgent
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
)

_LONGEST_DETAILS = 500


class Hearing:
    """Whose word it is shows by the address that it came from; what is malformed is counted, and changes nothing."""

    def __init__(self, run: Run, launcher: Launcher, attachments: Attachments, answers: Answers) -> None:
        self._run = run
        self._launcher = launcher
        self._attachments = attachments
        self._answers = answers

    def hear(self, address: bytes, message: Message) -> None:
        """One message."""
        run = self._run
        try:
            self._dispatch(address, message)
        except WireError as error:
            if run.server.malformed.note(error):
                run.events.append("malformed_message", details=str(error)[:_LONGEST_DETAILS])

    def _dispatch(self, address: bytes, message: Message) -> None:
        """Raises WireError, having changed nothing."""
        run = self._run
        if message.kind in ASKED and (asked := ASKED.read(message)):
            if answer := self._answers.to(asked):
                run.server.send(address, answer)
        elif address == run.gateway.address:
            if of_gateway := FROM_GATEWAY.read(message):
                run.gateway.hear(of_gateway)
        elif address == run.acquirer.address.encode():
            if of_acquirer := FROM_ACQUIRER.read(message):
                self._hear_acquirer(of_acquirer)
        else:
            for agent in [each for each in run.sinks.values() if address == each.address.encode()]:
                if of_sink := FROM_SINK.read(message):
                    self._hear_sink(agent, of_sink)

    def _hear_acquirer(self, message: AcquirerSays) -> None:
        run, agent = self._run, self._run.acquirer
        match message:
            case Hello():
                pass
            case BoardOpened():
                agent.opened, agent.opened_now = message, True
                if run.phase is Phase.RUNNING:
                    self._launcher.start_board()
                elif run.phase is Phase.DRAINING:
                    # It could not be told before: nobody listened yet.
                    run.tell_acquirer(StopBoard())
            case StreamEnded():
                agent.ended = True
            case SourceAway():
                agent.went_away(message.message, run.clock_now())
                run.events.append("away", "acquirer", why=agent.away)
            case SourceBack():
                agent.came_back()
                run.events.append("back", "acquirer")
            case ClocksCompared():
                pair = LinkPair(*message.pair)
                agent.compared(pair)
                run.clock.append_link(run.end_sample_index, pair)
            case Failed():
                agent.reported = message
                run.events.append("failed", "acquirer", message=message.message)
            case _:
                assert_never(message)

    def _hear_sink(self, agent: SinkAgent, message: SinkSays) -> None:
        run, name = self._run, agent.plan.name
        match message:
            case Hello():
                agent.said_hello = True
                self._launcher.begin_sink(agent)
            case SinkReady():
                if agent.state is WorkerState.OPENING:
                    self._became_ready(agent, message.position)
            case GapsCommitted():
                agent.absence.note(run.gaps.append(name, message.gaps))
            case SinkAway():
                agent.away = message.message
                run.events.append("away", name, why=agent.away, remedy=message.remedy)
            case SinkBack():
                agent.away = ""
                run.events.append("back", name)
            case OutputClosed():
                agent.is_closed = True
                agent.remark = message.remark
            case SinkDone():
                self._became_done(agent, message.position)
            case Failed():
                agent.reported = message
                run.events.append("failed", name, message=message.message)
            case _:
                assert_never(message)

    def _became_ready(self, agent: SinkAgent, position: Position) -> None:
        run = self._run
        agent.position = position
        agent.became_ready(mono_ns())
        # Why its predecessor ended is no state of this one; it stands in the events.
        agent.failure = ""
        agent.happened(WorkerEvent.SAID_READY)
        if run.phase is not Phase.OPENING:
            agent.happened(WorkerEvent.BOARD_STARTED)
        run.events.append("ready", agent.plan.name, committed=position.committed)
        self._attachments.became_ready(agent)

    def _became_done(self, agent: SinkAgent, position: Position) -> None:
        """Raises WireError of one that has no output that it could have ended."""
        if agent.state.is_final:
            return
        # Whoever took it out knows where it ends; all that it has is in order.
        is_detached_short = bool(agent.cut_off_at_ns) and agent.detach_at is not None and agent.is_closed
        is_cut_off = bool(agent.cut_off_at_ns) and not is_detached_short
        event = WorkerEvent.WAS_CUT_OFF if is_cut_off else WorkerEvent.SAID_DONE
        if not can_happen(agent.state, event):
            raise WireError(f"message 'done' of a sink that is {agent.state}")
        agent.position = position
        if is_detached_short:
            agent.detached_short, agent.cut_off_at_ns = agent.failure, 0
        elif is_cut_off and not agent.is_closed:
            agent.failure += "; its output could not be closed"
        agent.happened(event)
        self._run.events.append("done", agent.plan.name, committed=position.committed)
        self._attachments.became_done(agent)
