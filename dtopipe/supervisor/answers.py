"""What a run's supervisor answers to commands and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, assert_never

from dtopipe.core.ending import Ending, stopped_by
from dtopipe.host.clock import mono_ns
from dtopipe.supervisor.attachments import Attachments
from dtopipe.supervisor.notes import Notes
from dtopipe.supervisor.ports import Snapshots
from dtopipe.supervisor.restart_requests import RestartRequests
from dtopipe.supervisor.subscriptions import Subscriptions
from dtopipe.wire.commands import (
    Answered,
    AskAttachment,
    Asked,
    AskStatus,
    AttachSinks,
    ChangeMetadata,
    DetachSink,
    NoteReading,
    RestartSink,
    SetMark,
    StatusSnapshot,
    Stopping,
    StopRun,
    Subscribe,
    Unsubscribe,
)

_LONGEST_WORD = 80


class RequestStop(Protocol):
    """Ends the run in order; with `hurry` without waiting for slow sinks."""

    def __call__(self, by: Ending, *, hurry: bool = False) -> None:
        """`by`: who asks."""


class Answers:
    """Each question goes to the part whose it is."""

    def __init__(
        self,
        folder: Path,
        status: Snapshots,
        restarts: RestartRequests,
        attachments: Attachments,
        subscriptions: Subscriptions,
        notes: Notes,
        request_stop: RequestStop,
    ) -> None:
        """`folder`: the run's."""
        self._folder = folder
        self._status = status
        self._restarts = restarts
        self._attachments = attachments
        self._subscriptions = subscriptions
        self._notes = notes
        self._request_stop = request_stop

    def to(self, asked: Asked) -> Answered | None:
        """The answer; None where none is wanted. Raises WireError for what nobody can have asked."""
        match asked:
            case AskStatus():
                return StatusSnapshot(self._status.snapshot())
            case StopRun():
                self._request_stop(stopped_by(_word(asked.user), _word(asked.host)), hurry=asked.now)
                return Stopping(str(self._folder))
            case RestartSink():
                return self._restarts.ask(asked.name, mono_ns())
            case AttachSinks():
                return self._attachments.attach(asked)
            case AskAttachment():
                return self._attachments.attachment(asked.name)
            case DetachSink():
                return self._attachments.detach(asked.name)
            case SetMark():
                return self._notes.marking.set(asked)
            case NoteReading():
                return self._notes.instruments.note(asked)
            case ChangeMetadata():
                return self._notes.metadata.change(asked)
            case Subscribe():
                return self._subscriptions.subscribe(asked)
            case Unsubscribe():
                self._subscriptions.unsubscribe(asked.key)
                return None
        assert_never(asked)


def _word(said: str) -> str:
    """What somebody said of himself, fit for a terminal."""
    return "".join(letter for letter in said if letter.isprintable())[:_LONGEST_WORD]
