"""Speaking with a run in progress."""

from __future__ import annotations

from typing import TypeVar

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import reached
from dtopipe.host.runtime import EntryFacts
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys, is_reached
from dtopipe.wire.commands import Asked, AskStatus, Refused
from dtopipe.wire.message_fields import TypedMessage

# Who looks is told soon that nobody answers; who wants something done is not told so while a slow disk syncs.
_LOOK_PATIENCE_S, _ACT_PATIENCE_S = 5.0, 30.0

A = TypeVar("A", bound=TypedMessage)


def control_of(facts: EntryFacts) -> ControlClient:
    """The line to the supervisor of a run in progress."""
    endpoint = facts.control
    if facts.other_control and not is_reached(endpoint):
        endpoint = facts.other_control
    return ControlClient(endpoint, Keys(facts.public_key, facts.secret_key))


def answer_of(answer: TypedMessage, wanted: type[A]) -> A:
    """The answer that was to come. Raises UsageError with the run's reason and the way out, if it refuses."""
    if isinstance(answer, Refused):
        raise UsageError(answer.message, answer.remedy)
    if not isinstance(answer, wanted):
        raise DtopipeError(f"the run answered {answer.kind}, not {wanted.kind}")
    return answer


def ask_run(folder: RunFolder, question: Asked, wanted: type[A]) -> A | None:
    """What the run's supervisor answers; None if the run has none, or none that is reached from here.

    Raises UsageError with its reason if it refuses, DtopipeError if it does not answer.
    """
    facts = reached(folder)
    if facts is None:
        return None
    client = control_of(facts)
    try:
        patience_s = _LOOK_PATIENCE_S if isinstance(question, AskStatus) else _ACT_PATIENCE_S
        return answer_of(client.ask(question, patience_s), wanted)
    finally:
        client.close()
